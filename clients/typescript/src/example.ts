/** A new issue's form, and a project's dashboard: with a server, or with the mock where there is none. */

import { type AgileClient, ForetellError } from "./client.js";

/** Hours to suggest for a new issue; none where nothing can be said, so that the form works all the same. */
export async function suggestedHours(
  client: AgileClient,
  project_id: string,
  title: string,
  signal?: AbortSignal,
): Promise<{ hours: number; low: number; high: number; why: string } | undefined> {
  try {
    const told = await client.predictEffort({ title, issue_type: "bug", project_id }, signal && { signal });
    const { min, max } = told.prediction_range;
    return { hours: told.predicted_hours, low: min, high: max, why: told.reasoning };
  } catch (error) {
    if (error instanceof ForetellError) return undefined;
    throw error;
  }
}

/** What a dashboard shows of a project. */
export async function dashboard(client: AgileClient, projectId: string): Promise<string[]> {
  const told = await client.projectSummary(projectId);
  const { completed_issues, total_issues } = told.metrics_breakdown;
  return [`${told.completion} %`, `${completed_issues} of ${total_issues}`, `risk ${told.risk_score}`];
}
