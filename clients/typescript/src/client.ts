/** Asks a foretell server. The types are the server's own; see schema.ts. */

import type { Paths, Tasks } from "./schema.js";

export type * from "./schema.js";

// The names of the agile document.
export type PredictEffortRequest = Paths["POST /api/v1/ml/predict-effort/"]["request"];
export type PredictEffortResponse = Paths["POST /api/v1/ml/predict-effort/"]["answer"];
export type EstimateSprintRequest = Paths["POST /api/v1/ml/estimate-sprint-duration/"]["request"];
export type EstimateSprintResponse = Paths["POST /api/v1/ml/estimate-sprint-duration/"]["answer"];
export type RecommendPointsRequest = Paths["POST /api/v1/ml/recommend-story-points/"]["request"];
export type RecommendPointsResponse = Paths["POST /api/v1/ml/recommend-story-points/"]["answer"];
export type SuggestAssignmentRequest = Paths["POST /api/v1/ml/suggest-assignment/"]["request"];
export type SuggestAssignmentResponse = Paths["POST /api/v1/ml/suggest-assignment/"]["answer"];
export type SprintRiskResponse = Paths["GET /api/v1/ml/{sprint_id}/sprint-risk/"]["answer"];
export type ProjectSummaryResponse = Paths["GET /api/v1/ml/{project_id}/project-summary/"]["answer"];

const RETRY_MS = 2_000;
const SUMMARY_MS = 5 * 60_000;

export interface Options {
  /** Ends the call; it rejects with the signal's reason. */
  signal?: AbortSignal;
}

export interface SummaryOptions extends Options {
  /** Ask anew, as when a person says so. */
  refresh?: boolean;
}

/** What the agile document asks; the client and its mock have it alike. */
export interface AgileClient {
  predictEffort(request: PredictEffortRequest, options?: Options): Promise<PredictEffortResponse>;
  estimateSprintDuration(request: EstimateSprintRequest, options?: Options): Promise<EstimateSprintResponse>;
  recommendStoryPoints(request: RecommendPointsRequest, options?: Options): Promise<RecommendPointsResponse>;
  suggestAssignment(request: SuggestAssignmentRequest, options?: Options): Promise<SuggestAssignmentResponse>;
  sprintRisk(sprintId: string, options?: Options): Promise<SprintRiskResponse>;
  projectSummary(projectId: string, options?: SummaryOptions): Promise<ProjectSummaryResponse>;
}

/** A refusal as the server tells it; status 0 and code "Unreachable" where no answer came. */
export class ForetellError extends Error {
  override readonly name = "ForetellError";

  constructor(
    readonly status: number,
    readonly error: string,
    readonly detail: string,
    readonly code: string,
    cause?: unknown,
  ) {
    super(`${status} ${code}: ${error}`, { cause });
  }

  /** Whether another try may help. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export interface Access {
  /** Where the server is, as in "https://foretell.example.com". */
  url: string;
  /** The bearer token; asked for before every try, so it may be a new one each time. */
  token: () => string | Promise<string>;
}

type Sent<P extends keyof Paths> = Paths[P] extends { request: infer Request } ? Request : string;

interface Kept {
  since: number;
  summary: Promise<ProjectSummaryResponse>;
}

/** A server as one person sees it: summaries are kept, so make a new client when somebody else signs in. */
export class ForetellClient implements AgileClient {
  readonly #access: Access;
  readonly #summaries = new Map<string, Kept>();

  constructor(access: Access) {
    this.#access = access;
  }

  predictEffort(request: PredictEffortRequest, options?: Options): Promise<PredictEffortResponse> {
    return this.#documented("POST /api/v1/ml/predict-effort/", request, options);
  }

  estimateSprintDuration(request: EstimateSprintRequest, options?: Options): Promise<EstimateSprintResponse> {
    return this.#documented("POST /api/v1/ml/estimate-sprint-duration/", request, options);
  }

  recommendStoryPoints(request: RecommendPointsRequest, options?: Options): Promise<RecommendPointsResponse> {
    return this.#documented("POST /api/v1/ml/recommend-story-points/", request, options);
  }

  suggestAssignment(request: SuggestAssignmentRequest, options?: Options): Promise<SuggestAssignmentResponse> {
    return this.#documented("POST /api/v1/ml/suggest-assignment/", request, options);
  }

  sprintRisk(sprintId: string, options?: Options): Promise<SprintRiskResponse> {
    return this.#documented("GET /api/v1/ml/{sprint_id}/sprint-risk/", sprintId, options);
  }

  /** Kept for five minutes by project; those who ask meanwhile share one request, which none of them ends alone. */
  projectSummary(projectId: string, options?: SummaryOptions): Promise<ProjectSummaryResponse> {
    let kept = this.#summaries.get(projectId);
    if (kept === undefined || options?.refresh || Date.now() - kept.since >= SUMMARY_MS) {
      const summary = this.#documented("GET /api/v1/ml/{project_id}/project-summary/", projectId);
      const made = { since: Date.now(), summary };
      summary.catch(() => {
        if (this.#summaries.get(projectId) === made) this.#summaries.delete(projectId);
      });
      this.#summaries.set(projectId, made);
      kept = made;
    }
    return unlessAborted(kept.summary, options?.signal);
  }

  /** Any task of the server on its own path, as `predict("agile.effort", …)`. */
  predict<T extends keyof Tasks>(task: T, request: Tasks[T]["request"], options?: Options): Promise<Tasks[T]["answer"]> {
    return this.#ask("POST", `/v1/${task.replace(".", "/")}/predict`, request, options);
  }

  /** A documented path, with its request; or with what its path names, where it takes none. */
  #documented<P extends keyof Paths>(path: P, sent: Sent<P>, options?: Options): Promise<Paths[P]["answer"]> {
    const [method = "", url = ""] = path.split(" ");
    if (typeof sent !== "string") return this.#ask(method, url, sent, options);
    return this.#ask(method, url.replace(/{\w+}/, encodeURIComponent(sent)), undefined, options);
  }

  /** One answer, tried again once after two seconds where that may help. Throws ForetellError or the signal's reason. */
  async #ask<Answer>(method: string, path: string, request: unknown, { signal }: Options = {}): Promise<Answer> {
    try {
      return await this.#try<Answer>(method, path, request, signal);
    } catch (error) {
      if (!(error instanceof ForetellError && error.passing)) throw error;
    }
    await unlessAborted(new Promise((resolve) => setTimeout(resolve, RETRY_MS)), signal);
    return this.#try<Answer>(method, path, request, signal);
  }

  async #try<Answer>(method: string, path: string, request: unknown, signal?: AbortSignal): Promise<Answer> {
    const url = this.#access.url.replace(/\/$/, "") + path;
    const headers = { Authorization: `Bearer ${await this.#access.token()}`, "Content-Type": "application/json" };
    const body = request === undefined ? null : JSON.stringify(request);
    try {
      const response = await fetch(url, { method, headers, body, signal: signal ?? null });
      const text = await response.text();
      if (!response.ok) throw refusal(response.status, text);
      return JSON.parse(text) as Answer;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ForetellError) throw error;
      throw new ForetellError(0, "no answer came, or none that can be read", String(error), "Unreachable", error);
    }
  }
}

/** The answer, or the signal's reason as soon as it says so. */
function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return answer;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    answer.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** The server's words; what a proxy between says in others is told as it came. */
function refusal(status: number, text: string): ForetellError {
  let told: { error?: string; detail?: string; code?: string } = {};
  try {
    told = JSON.parse(text) ?? {};
  } catch {
    told = { detail: text };
  }
  const error = told.error ?? told.detail ?? `HTTP ${status}`;
  return new ForetellError(status, error, told.detail ?? error, told.code ?? `HTTP${status}`);
}
