/** A client without a server, for development: the same calls, always the same answers, late as real ones are. */

import type {
  AgileClient,
  Basis,
  EstimateSprintResponse,
  PredictEffortResponse,
  ProjectSummaryResponse,
  RecommendPointsResponse,
  SprintRiskResponse,
  SuggestAssignmentResponse,
} from "./client.js";

const LATE_MS = 300;
const NOW = "2026-01-05T09:00:00Z";

const BASIS: Basis = {
  prediction_id: null,
  recommendation_id: null,
  version: "mock",
  trained_at: null,
  method: "mock",
  fallback: null,
  as_of: NOW,
  cached: false,
  interval: null,
  freshness: null,
  skill: null,
};

export const EFFORT: PredictEffortResponse = {
  predicted_hours: 8.5,
  confidence: 0.75,
  prediction_range: { min: 6, max: 11 },
  method: "ml_model",
  model_version: "mock",
  reasoning: "Mock prediction for development",
  similar_issues: [{ id: "WEB-17", title: "Fix the login form", actual_hours: 7.5 }],
  foretell: BASIS,
};

export const SPRINT: EstimateSprintResponse = {
  estimated_days: 12,
  planned_days: 10,
  confidence: 0.6,
  average_velocity: 24,
  total_story_points: 29,
  risk_factors: ["It holds more than the team usually delivers"],
  method: "velocity_based",
  foretell: BASIS,
};

export const POINTS: RecommendPointsResponse = {
  recommended_points: 5,
  confidence: 0.5,
  probability_distribution: { "3": 0.2, "5": 0.5, "8": 0.3 },
  reasoning: "Mock recommendation for development",
  method: "ml_model",
  foretell: BASIS,
};

export const ASSIGNMENT: SuggestAssignmentResponse = {
  suggestions: [
    {
      user_id: "ada",
      user_name: "Ada",
      user_email: "ada@example.com",
      total_score: 0.86,
      skill_score: 0.9,
      workload_score: 0.8,
      performance_score: 0.8,
      availability_score: 1,
      reasoning: ["Has finished 9 issues of this type"],
    },
  ],
  foretell: BASIS,
};

export const RISKS: SprintRiskResponse = {
  risks: [
    {
      risk_type: "unassigned_issues",
      severity: "medium",
      description: "4 issues have nobody to do them",
      mitigation_suggestions: ["Assign them at the next stand-up"],
      unassigned_count: 4,
    },
  ],
  foretell: { as_of: NOW, known_at: NOW },
};

export const SUMMARY: ProjectSummaryResponse = {
  completion: 62.5,
  velocity: 24,
  risk_score: 43,
  project_id: "web",
  generated_at: NOW,
  metrics_breakdown: {
    total_issues: 80,
    completed_issues: 50,
    sprints_analyzed: 6,
    unassigned_issues: 4,
    overdue_issues: 2,
  },
  foretell: { as_of: NOW, known_at: NOW },
};

export class MockClient implements AgileClient {
  predictEffort(): Promise<PredictEffortResponse> {
    return late(EFFORT);
  }

  estimateSprintDuration(): Promise<EstimateSprintResponse> {
    return late(SPRINT);
  }

  recommendStoryPoints(): Promise<RecommendPointsResponse> {
    return late(POINTS);
  }

  suggestAssignment(): Promise<SuggestAssignmentResponse> {
    return late(ASSIGNMENT);
  }

  sprintRisk(): Promise<SprintRiskResponse> {
    return late(RISKS);
  }

  projectSummary(projectId: string): Promise<ProjectSummaryResponse> {
    return late({ ...SUMMARY, project_id: projectId });
  }
}

function late<T>(answer: T): Promise<T> {
  return new Promise((resolve) => setTimeout(() => resolve(structuredClone(answer)), LATE_MS));
}
