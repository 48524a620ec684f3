// Made from the server's description of itself by tools/client.py; do not edit.

export interface Paths {
  "POST /api/v1/ml/predict-effort/": { request: IssueBody; answer: EffortToldTold };
  "POST /api/v1/ml/recommend-story-points/": { request: IssueBody; answer: PointsToldTold };
  "POST /api/v1/ml/suggest-assignment/": { request: AssignmentBody; answer: AssignmentToldTold };
  "POST /api/v1/ml/estimate-sprint-duration/": { request: SprintBody; answer: SprintToldTold };
  "GET /api/v1/ml/{sprint_id}/sprint-risk/": { answer: RisksToldTold };
  "GET /api/v1/ml/{project_id}/project-summary/": { answer: SummaryToldTold };
  "POST /api/v1/ml/{project_id}/project-summary/": { answer: SummaryToldTold };
}

export interface Tasks {
  "agile.effort": { request: EffortRequest; answer: EffortAnswerTold };
  "agile.points": { request: IssueRequest; answer: PointsAnswerTold };
  "agile.assignment": { request: AssignmentRequest; answer: AssignmentAnswerTold };
  "agile.duration": { request: DurationRequest; answer: DurationAnswerTold };
  "agile.delivery": { request: SprintRequest; answer: DeliveryAnswerTold };
  "energy.solar": { request: OutputRequest; answer: OutputAnswerTold };
  "energy.wind": { request: OutputRequest; answer: OutputAnswerTold };
  "inventory.demand": { request: DemandRequest; answer: DemandAnswerTold };
  "inventory.stockout": { request: StockoutRequest; answer: StockoutAnswerTold };
  "realestate.move": { request: PersonRequest; answer: MoveAnswerTold };
  "realestate.transaction_type": { request: PersonRequest; answer: TypeAnswerTold };
  "realestate.contact": { request: ContactRequest; answer: ContactAnswerTold };
  "realestate.market": { request: MarketRequest; answer: MarketAnswerTold };
  "realestate.value": { request: ValueRequest; answer: ValueAnswerTold };
  "traffic.load": { request: LoadRequest; answer: LoadAnswerTold };
}

/**
 * Who should do an issue, the best first; or who each issue of a sprint.
 */
export interface AssignmentAnswer {
  project: string;
  issue: string | null;
  sprint: string | null;
  method: string;
  suggestions: Array<Suggestion>;
  matched: Array<Matched>;
}

export interface AssignmentAnswerTold {
  task: string;
  answer: AssignmentAnswer;
  foretell: Basis;
}

/**
 * An issue of a project.
 */
export interface AssignmentBody {
  issue_id: string;
  project_id: string;
  top_n?: number;
}

/**
 * An issue that somebody shall do, or a sprint whose open issues shall be shared out.
 */
export interface AssignmentRequest {
  project?: string | null;
  issue?: string | null;
  sprint?: string | null;
  top_n?: number;
}

export interface AssignmentToldTold {
  suggestions: Array<SuggestionTold>;
  foretell: Basis;
}

/**
 * How much better than the plain baseline this method was on past issues of this project, out of sample.
 *
 * `better` is by which share its error was smaller, on `outcomes` issues; null without any. Where it is not above
 * zero, `baseline` is as good a guess.
 */
export interface Badge {
  outcomes: number;
  better: number | null;
  baseline: number | null;
  words: string;
}

/**
 * The energy of hours: the sum of what is expected of each, and a band that holds 80 % of what may come of all.
 */
export interface Band {
  expected: number;
  low: number;
  high: number;
}

/**
 * Which version said it by which method, why not the champion if so, and what that has been worth.
 *
 * With `hindsight` the version learned from what came after `as_of`: such an answer about the past proves nothing.
 */
export interface Basis {
  prediction_id: string | null;
  recommendation_id: string | null;
  version: string;
  trained_at: string | null;
  method: string;
  fallback: string | null;
  as_of: string;
  hindsight?: boolean;
  cached: boolean;
  interval: foretell__app__basis__Interval | null;
  freshness: Freshness | null;
  skill: Skill | null;
  confidence?: Confidence | null;
}

/**
 * Counts behind a summary.
 */
export interface Breakdown {
  total_issues: number;
  completed_issues: number;
  sprints_analyzed: number;
  unassigned_issues: number;
  overdue_issues: number;
}

/**
 * A day from which on demand has another level, and how many units a day it had and has.
 */
export interface Change {
  date: string;
  before: number;
  after: number;
}

/**
 * A home that was sold; `today` is its price as the market is now, for a home like the one asked about.
 *
 * `alike` is 1 where it stands in the same place, is just alike, and was sold this month.
 */
export interface Comparable {
  property: string;
  area: string;
  sold: string;
  price: number;
  today: number;
  distance_km: number | null;
  alike: number;
}

/**
 * What an answer's confidence is the chance of, and what it was worth out of sample on the tenant's own past.
 *
 * `brier` is that of the chance by the factors, `base_brier` that of always saying the share that had held by then;
 * the answer has the better one, as `serves` says.
 */
export interface Confidence {
  meaning: string;
  serves: string;
  scored: number;
  base_rate: number;
  brier: number;
  base_brier: number;
}

/**
 * When a person is best reached, the best hour first.
 *
 * `seen` are the times they were active before; `confidence` is 1 where all their activity falls into one hour of the
 * week, and 0 where every hour is alike: 1 less the entropy of the week's hours as a share of the greatest there is.
 */
export interface ContactAnswer {
  person: string;
  best: Array<Slot>;
  seen: number;
  confidence: number;
  words: string;
}

export interface ContactAnswerTold {
  task: string;
  answer: ContactAnswer;
  foretell: Basis;
}

/**
 * A person; the best `count` hours of a week are named, of those in which the tenant may call.
 */
export interface ContactRequest {
  person: string;
  count?: number;
}

/**
 * What was sold on a day.
 */
export interface DayInput {
  date: string;
  quantity: number;
}

/**
 * The energy of the hours asked about that lie on a day (UTC), kWh.
 */
export interface DayOutput {
  date: string;
  hours: number;
  energy_kwh: Band;
}

/**
 * The points that a sprint will have delivered when it ends, and their difference to those that it holds now.
 *
 * In four of five cases `delivered` is between `low` and `high`; `under` is the chance that the difference is below 0.
 */
export interface DeliveryAnswer {
  project: string;
  sprint: string;
  ends: string;
  committed: number;
  delivered: number;
  difference: number;
  low: number;
  high: number;
  under: number;
  method: string;
  reasoning: string;
}

export interface DeliveryAnswerTold {
  task: string;
  answer: DeliveryAnswer;
  foretell: Basis;
}

/**
 * The next days, and how wrong such forecasts were.
 */
export interface DemandAnswer {
  product: string;
  generated_at: string;
  first_day: string;
  last_day: string;
  gaps: "zero" | "unknown";
  gap_days: number;
  method: string;
  why: string;
  race: Record<string, Record<string, number | null>>;
  skipped: Record<string, string>;
  pattern: Pattern;
  series: Kinds;
  manual_only: boolean;
  reasons: Array<string>;
  horizon_days: number;
  interval_width: number;
  predictions: Array<Expected>;
  metrics: Metrics;
}

export interface DemandAnswerTold {
  task: string;
  answer: DemandAnswer;
  foretell: Basis;
}

/**
 * The demand of each of the next `horizon_days` days, 1 to 365, with bounds that hold `interval_width` of days.
 *
 * Without `interval_width`, they hold as much as the tenant's settings say.
 */
export interface DemandRequest {
  product: string;
  history?: Array<DayInput> | null;
  method?: string;
  gaps?: "zero" | "unknown";
  horizon_days?: number;
  interval_width?: number | null;
}

/**
 * What changes without an issue: days fewer until all is done in 85 % of cases, and more of a chance by the end.
 */
export interface Dropped {
  issue: string;
  title: string;
  points: number | null;
  days_saved: number;
  chance_gained: number;
}

/**
 * Days from the sprint's start (or now, if it runs) until the issues it holds are all done.
 *
 * `estimated_days` is as likely too much as too little, `confidence` the chance that it is
 * right within a fifth.
 * `planned_days` is the sprint's whole length, `by_end` the chance that all is done when it ends.
 * `total_story_points` are those of the open issues.
 */
export interface DurationAnswer {
  project: string;
  sprint: string;
  estimated_days: number;
  planned_days: number;
  days: Record<string, number>;
  by_end: number;
  confidence: number;
  method: "velocity_based" | "usual_length" | "planned_length";
  average_velocity: number | null;
  total_story_points: number;
  open_issues: number;
  risk_factors: Array<string>;
  without: Array<Dropped>;
}

export interface DurationAnswerTold {
  task: string;
  answer: DurationAnswer;
  foretell: Basis;
}

/**
 * A sprint, with what it shall hold instead of what it holds; what its team can give, and when it does not work.
 *
 * `team_capacity_hours` are those of the planned length; they are set against the hours that the team usually logs.
 */
export interface DurationRequest {
  sprint: string;
  project?: string | null;
  planned_issues?: Array<string> | null;
  team_capacity_hours?: number | null;
  days_off?: number;
}

/**
 * Hours that an issue will take until it is done.
 *
 * In four of five cases it takes between `low` and `high`; `confidence` is the chance that it takes between two thirds
 * and one and a half times `hours`.
 */
export interface EffortAnswer {
  project: string;
  issue: string | null;
  hours: number;
  low: number;
  high: number;
  confidence: number;
  method: "ml_model" | "similarity" | "heuristic";
  reasoning: string;
  similar: Array<Similar>;
  badge: Badge;
}

export interface EffortAnswerTold {
  task: string;
  answer: EffortAnswer;
  foretell: Basis;
}

/**
 * The same; of a new issue also its points, people's own estimate and who is to do it, where they are known.
 */
export interface EffortRequest {
  project?: string | null;
  issue?: string | null;
  title?: string;
  description?: string;
  type?: string;
  priority?: string;
  component?: string;
  epic?: string;
  points?: number | null;
  estimate_hours?: number | null;
  assignee?: string;
}

export interface EffortToldTold {
  predicted_hours: number;
  confidence: number;
  prediction_range: Range;
  method: string;
  model_version: string | null;
  reasoning: string;
  similar_issues: Array<SimilarIssue>;
  foretell: Basis;
}

/**
 * A day's demand: `expected` is the mean, never outside `low` to `high`.
 *
 * `high` is at most four times the most that was ever seen or is expected.
 */
export interface Expected {
  date: string;
  expected: number;
  low: number;
  high: number;
}

/**
 * What is wrong with a field of a request.
 */
export interface FieldError {
  field: string;
  message: string;
}

/**
 * When the newest fact behind it became known, and how old that was when it was asked.
 */
export interface Freshness {
  known_at: string;
  age_seconds: number;
}

/**
 * What a home is like that is not on record.
 */
export interface HomeDescribed {
  area?: string;
  street?: string;
  kind?: string;
  bedrooms?: number | null;
  bathrooms?: number | null;
  size?: number | null;
  land?: number | null;
  floors?: number | null;
  built?: number | null;
  renovated?: number | null;
  condition?: number | null;
  grade?: number | null;
  view?: number | null;
  waterfront?: boolean | null;
  basement?: number | null;
  around?: number | null;
  latitude?: number | null;
  longitude?: number | null;
}

/**
 * A new issue.
 */
export interface IssueBody {
  title: string;
  description?: string | null;
  issue_type: string;
  project_id: string;
}

/**
 * An issue that is on record, by its name; or a new one, by its project and what is written.
 */
export interface IssueRequest {
  project?: string | null;
  issue?: string | null;
  title?: string;
  description?: string;
  type?: string;
  priority?: string;
  component?: string;
  epic?: string;
}

/**
 * What kind of series it is: the mean interval between days with demand, and CV² of their sizes.
 */
export interface Kinds {
  name: "smooth" | "intermittent" | "erratic" | "lumpy" | "new" | "dead";
  interval: number | null;
  size_cv2: number | null;
}

/**
 * The forecast, how sure it is and why, and what to do.
 */
export interface LoadAnswer {
  service: string;
  metric_type: "requests_per_minute" | "error_rate" | "latency_p50" | "latency_p95" | "latency_p99" | "cpu_usage" | "memory_usage";
  as_of: string;
  current: number;
  measured_at: string;
  hours: Array<TrafficHour>;
  peak_to_mean: number | null;
  /**
   * The chance that the highest of the hours asked about (of the first four, where more are) stays within ±15 % of the highest expected, learned on four hours; uncalibrated, a mean of the factors.
   */
  confidence: number;
  confidence_is?: "calibrated" | "uncalibrated";
  factors: Record<string, number>;
  trigger: "iftar_approaching" | "taraweeh" | "suhoor_window" | null;
  method: string;
  workload?: WorkloadConfig | null;
  scaling?: ScalingRecommendation | null;
}

export interface LoadAnswerTold {
  task: string;
  answer: LoadAnswer;
  foretell: Basis;
}

/**
 * The next hours of one service's metric; with a workload, also the replicas for them.
 *
 * Of a service without metrics of its own, those of the one named `otherwise` are taken. `scale_in` holds where the
 * tenant's settings have no rule for it.
 */
export interface LoadRequest {
  service?: string;
  otherwise?: string | null;
  metric_type?: "requests_per_minute" | "error_rate" | "latency_p50" | "latency_p95" | "latency_p99" | "cpu_usage" | "memory_usage";
  hours?: number;
  workload?: WorkloadConfig | null;
  scale_in?: "never" | "forecast";
}

/**
 * The price index of a market in the month that begins at `at`, with a range that holds it four of five times.
 *
 * `known` is the newest month published by now, `index_known` its index; `growth` is from there to `at`, as a share.
 */
export interface MarketAnswer {
  area: string;
  at: string;
  known: string;
  index_known: number;
  index: number;
  low: number;
  high: number;
  growth: number;
  growth_last_year: number | null;
}

export interface MarketAnswerTold {
  task: string;
  answer: MarketAnswer;
  foretell: Basis;
}

/**
 * A market, and in how many months from now its index is asked for.
 */
export interface MarketRequest {
  area: string;
  months?: number;
}

/**
 * An issue and who should do it; `score` is what the method that serves gives the two.
 */
export interface Matched {
  issue: string;
  person: string;
  score: number;
}

/**
 * Errors of a day's demand out of sample, of this product alone or of all that were learned from (`measured_on`).
 *
 * `mape` is in per cent of days with demand, null where there was none; both are null where nothing could be measured.
 */
export interface Metrics {
  mape: number | null;
  rmse: number | null;
  training_samples: number;
  seasonality_detected: boolean;
  measured_on: "this product" | "all products" | "nothing";
}

/**
 * How likely a person moves by `until`: so many in a hundred like them, and how many in a hundred usually do.
 *
 * `rank` is the share of people who are less likely. `confidence` is the chance of what is likelier, to move or to
 * stay: 0.5 and above.
 */
export interface MoveAnswer {
  person: string;
  until: string;
  chance: number;
  confidence: number;
  level: "HIGH" | "MEDIUM" | "LOW";
  usual: number | null;
  lift: number | null;
  rank: number | null;
  words: string;
  reasons: Array<RealestateReason>;
  against: Array<RealestateReason>;
}

export interface MoveAnswerTold {
  task: string;
  answer: MoveAnswer;
  foretell: Basis;
}

/**
 * When to order and how much, so that the shelf is not empty with a chance of `service_level`.
 *
 * `by` is the last day on which an order still arrives on the day that empties the shelf, or before; the first day
 * forecast where that is over already, and null where no order is needed within the days looked at, or the product is
 * dead. `in_time` is the chance that one placed on the first day forecast arrives so. `quantity`, ordered on that day,
 * lasts for `cover_days` from its arrival on, beside the stock and what is under way; 0 where that is enough, and it
 * can wait: what an order on the day of `by` would be then is `later`, null where the futures are too short for that,
 * where something is to be ordered now, or nothing at all. `reason` says all of it in words.
 */
export interface Order {
  by: string | null;
  in_time: number;
  quantity: number;
  later?: number | null;
  reason?: string;
  service_level: number;
  cover_days: number;
  lead_time_days: number;
  lead_time_high: number;
  deliveries: number;
  until: string;
}

/**
 * A day that is out of line with the days around it, their week and their month; and what would have been usual.
 */
export interface Outlier {
  date: string;
  value: number;
  usual: number;
}

/**
 * What plants will put out. `historical_context` is false where no plant's readings are behind it (per kW).
 */
export interface OutputAnswer {
  kind: "solar" | "wind";
  plants: Array<string>;
  nearest?: string | null;
  distance_km?: number | null;
  historical_context: boolean;
  as_of: string;
  capacity_kw: number;
  hours: Array<EnergyHour>;
  energy_kwh: Band;
  days: Array<DayOutput>;
  weather: WeatherBasis;
  quality: Quality | null;
  reasons: Array<EnergyReason>;
  corrections: Array<string>;
  what_if?: WhatIf | null;
  track_record: EnergyTrack;
  method: string;
}

export interface OutputAnswerTold {
  task: string;
  answer: OutputAnswer;
  foretell: Basis;
}

/**
 * The next hours of a plant, of all plants of the kind together (neither plant nor place), or of a place.
 *
 * A place is answered by the nearest plant within the settings' `nearby_km`; else by what a kW there would put out.
 */
export interface OutputRequest {
  plant?: string | null;
  latitude?: number | null;
  longitude?: number | null;
  hours?: number;
  what_if?: WhatIf | null;
}

/**
 * What is regular in a series, and what is not.
 *
 * `weekly` is by the weekday, of the last half year; `monthly` by the day of the month, of at least six complete ones;
 * `yearly` of the last two years. `weekdays`, Monday first, are relative to the mean; null without a weekly season.
 */
export interface Pattern {
  trend: Trend;
  weekly: Regular;
  monthly: Regular;
  yearly: Regular;
  weekdays: Array<number> | null;
  changes: Array<Change>;
  outliers: Array<Outlier>;
}

/**
 * A person. `features` are taken instead of what facts say; without `reasons` none are worked out.
 *
 * The home they live in and its market are found in the facts where they are left out.
 */
export interface PersonRequest {
  person: string;
  property?: string | null;
  area?: string | null;
  features?: Record<string, number | null> | null;
  reasons?: boolean;
}

/**
 * The points that the team would give: the most likely ones, and how likely each step of its scale is.
 */
export interface PointsAnswer {
  project: string;
  issue: string | null;
  points: number;
  expected: number;
  confidence: number;
  distribution: Record<string, number>;
  method: "ml_model" | "similarity" | "heuristic";
  reasoning: string;
  badge: Badge;
}

export interface PointsAnswerTold {
  task: string;
  answer: PointsAnswer;
  foretell: Basis;
}

export interface PointsToldTold {
  recommended_points: number;
  confidence: number;
  probability_distribution: Record<string, number>;
  reasoning: string;
  method: string;
  foretell: Basis;
}

/**
 * What went wrong, and what to do.
 */
export interface Problem {
  type?: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  errors?: Array<FieldError>;
}

/**
 * How good the readings of the last weeks are, 0 to 1, with its parts; bands are wider by `widened`.
 */
export interface Quality {
  score: number;
  parts: Record<string, number>;
  warning: string | null;
  widened: number;
}

/**
 * Bounds, in hours.
 */
export interface Range {
  min: number;
  max: number;
}

/**
 * What arrives on a day, before anything is sold on it.
 */
export interface Receipt {
  date: string;
  quantity: number;
}

/**
 * How strong something regular is, 0 to 1, and the chance `p` that no more than luck looks so.
 *
 * `p` is null, and the strength 0, where the history is too short to tell. Seasons are looked for together, which `p`
 * allows for. `detected` says that it is below 0.01.
 */
export interface Regular {
  strength: number;
  p: number | null;
  detected: boolean;
}

/**
 * What a report rests on: it stands at `as_of`, and the newest fact behind it became known at `known_at`.
 */
export interface ReportBasis {
  as_of: string;
  known_at: string | null;
}

/**
 * A risk, with what its kind tells beside.
 */
export interface RiskTold {
  risk_type: string;
  severity: "low" | "medium" | "high";
  description: string;
  mitigation_suggestions: Array<string>;
  expected_completion?: number | null;
  actual_completion?: number | null;
  unassigned_count?: number | null;
}

export interface RisksToldTold {
  risks: Array<RiskTold>;
  foretell: ReportBasis;
}

/**
 * A recommendation; nothing is executed.
 */
export interface ScalingRecommendation {
  current_replicas: number;
  recommended_replicas: number;
  cost_impact_hourly: number;
  reason: string;
  triggered_by: string;
  requires_approval?: true;
}

/**
 * A finished issue that reads alike, and what it really took.
 */
export interface Similar {
  id: string;
  title: string;
  actual_hours: number;
}

/**
 * A finished issue that reads alike.
 */
export interface SimilarIssue {
  id: string;
  title: string;
  actual_hours: number;
}

/**
 * The error in the backtest beside the baseline's, on so many outcomes; lower is better.
 *
 * Of a task with a scope (a project, a plant) they are those of the scope that is asked about, where it has some.
 */
export interface Skill {
  metric: string;
  value: number | null;
  baseline: string;
  baseline_value: number | null;
  scored: number;
}

/**
 * An hour of the week in the tenant's zone, Monday 0; `at` is the next one, UTC.
 *
 * `chance` is that the person's next activity falls into it, `lift` how often that is of an hour of the week picked
 * blindly.
 */
export interface Slot {
  day: number;
  hour: number;
  at: string;
  chance: number;
  lift: number;
}

/**
 * A sprint; with `planned_issues` instead of what it holds.
 */
export interface SprintBody {
  sprint_id: string;
  planned_issues?: Array<string> | null;
  team_capacity_hours?: number | null;
}

/**
 * A sprint by its name.
 */
export interface SprintRequest {
  sprint: string;
  project?: string | null;
}

export interface SprintToldTold {
  estimated_days: number;
  planned_days: number;
  confidence: number;
  average_velocity: number | null;
  total_story_points: number;
  risk_factors: Array<string>;
  method: string;
  foretell: Basis;
}

/**
 * When the shelf is empty: half of the possible futures have used up the stock by `predicted_stockout_date`.
 *
 * Out of stock is the first day at whose end nothing is left; what is under way arrives on the day expected, before
 * anything is sold on it. `days_until_stockout` is 1 on the first day forecast, 0 with nothing on the shelf now. Both
 * are null when the stock outlasts the horizon in most futures. `dates` are by the share of futures that are out of
 * stock by then; null beyond the horizon. `out_by` has that share for each day. `expected_lost_sales` is the demand
 * within the horizon that is not met if nothing is ordered, on average; it does not come back.
 *
 * `stock_counted_at` is when the stock was last counted; null where the request said it. `incoming_units` are under
 * way within the horizon. `order` is null where the futures are too short for lead time and cover: ask for more days.
 * It `proposes` the order where one is due before the next review, `cover_days` from now: where `quantity` is above 0
 * and `by` lies before that. An answer that rests on an own history or asks `what_if` proposes nothing.
 */
export interface StockoutAnswer {
  product: string;
  generated_at: string;
  first_day: string;
  last_day: string;
  gaps: "zero" | "unknown";
  gap_days: number;
  method: string;
  why: string;
  race: Record<string, Record<string, number | null>>;
  skipped: Record<string, string>;
  pattern: Pattern;
  series: Kinds;
  manual_only: boolean;
  reasons: Array<string>;
  current_stock_units: number;
  stock_counted_at: string | null;
  incoming_units: number;
  horizon_days: number;
  predicted_stockout_date: string | null;
  days_until_stockout: number | null;
  dates: Record<string, string | null>;
  out_by: Array<number>;
  /**
   * The chance that the shelf is empty within 20 % of `days_until_stockout` (at least 3 days) of the predicted date; where none is predicted, that it is not empty within the horizon.
   */
  confidence: number;
  daily_usage_forecast: Array<number>;
  expected_lost_sales: number;
  order: Order | null;
  track_record: TrackRecord;
  what_if?: boolean;
  proposes: boolean;
}

export interface StockoutAnswerTold {
  task: string;
  answer: StockoutAnswer;
  foretell: Basis;
}

/**
 * The day on which what is on the shelf now is used up, looked for in the next `horizon_days` days, 1 to 365.
 *
 * Without `current_stock_units` the newest stored count is moved on by what came and went since. `receipts` are under
 * way beside the stored ones. What may be: `uplifts` of promotions, another mean `lead_time_days`, `service_level` or
 * `cover_days` than what is stored and set.
 */
export interface StockoutRequest {
  product: string;
  history?: Array<DayInput> | null;
  method?: string;
  gaps?: "zero" | "unknown";
  current_stock_units?: number | null;
  horizon_days?: number;
  receipts?: Array<Receipt>;
  uplifts?: Array<Uplift>;
  lead_time_days?: number | null;
  service_level?: number | null;
  cover_days?: number | null;
}

/**
 * A person with the parts of the score; `chance` is that of this person finishing it, by the method that serves.
 */
export interface Suggestion {
  person: string;
  name: string;
  email: string;
  total_score: number;
  skill_score: number;
  workload_score: number;
  performance_score: number;
  availability_score: number;
  chance: number;
  reasoning: Array<string>;
}

/**
 * A person, with the parts of the score.
 */
export interface SuggestionTold {
  user_id: string;
  user_name: string;
  user_email: string;
  total_score: number;
  skill_score: number;
  workload_score: number;
  performance_score: number;
  availability_score: number;
  reasoning: Array<string>;
}

export interface SummaryToldTold {
  completion: number;
  velocity: number;
  risk_score: number;
  project_id: string;
  generated_at: string;
  metrics_breakdown: Breakdown;
  foretell: ReportBasis;
}

/**
 * The method in service on this product, and on all that it was measured on.
 */
export interface TrackRecord {
  product: InventoryTrack;
  catalogue: InventoryTrack;
}

/**
 * The trend of the last half year: by what share of the mean demand grows or shrinks within four weeks.
 */
export interface Trend {
  strength: number;
  p: number | null;
  detected: boolean;
  change: number;
}

/**
 * Which kind of deal would be a person's next, if there is one by `until`; the likeliest first.
 *
 * `confidence` is the chance of that kind.
 */
export interface TypeAnswer {
  person: string;
  until: string;
  kind: string;
  confidence: number;
  chances: Record<string, number>;
}

export interface TypeAnswerTold {
  task: string;
  answer: TypeAnswer;
  foretell: Basis;
}

/**
 * A promotion: on that day so many times the usual is sold.
 */
export interface Uplift {
  date: string;
  factor: number;
}

/**
 * What a home is worth today and at `at`, there with a range that four of five times holds what it is sold for.
 *
 * `last_price` is what it was last sold for, `last_price_today` that moved with the market. `usual` is the value of
 * the usual home now, which `reasons` multiply to `value_today`. `market_year` is by what share prices rose there in a
 * year, as far as deals tell. `confidence` is the chance that it is sold for `low` to `high`: the share of old
 * sales that such a range held, or with fewer than a hundred what it is made to hold.
 */
export interface ValueAnswer {
  property: string | null;
  at: string;
  months: number;
  value_today: number;
  value: number;
  low: number;
  high: number;
  confidence: number;
  last_price: number | null;
  last_sold: string | null;
  last_price_today: number | null;
  usual: number;
  market_year: number;
  deals: number;
  comparables: Array<Comparable>;
  reasons: Array<ValueReason>;
}

export interface ValueAnswerTold {
  task: string;
  answer: ValueAnswer;
  foretell: Basis;
}

/**
 * By what factor something makes the value other than that of the usual home; all of them multiply to it.
 */
export interface ValueReason {
  words: string;
  factor: number;
}

/**
 * A home on record by its `property`, or one that is described; its value now and in so many months.
 */
export interface ValueRequest {
  property?: string | null;
  home?: HomeDescribed | null;
  horizon_months?: number;
}

/**
 * Which weather the answer rests on: by the newest run used, and of how many hours there was any.
 */
export interface WeatherBasis {
  providers: Array<string>;
  issued_at: string | null;
  age_hours: number | null;
  hours_covered: number;
  hours_asked: number;
}

/**
 * A plant as it might be; what is left out stays. A plant has tilt and azimuth (solar) or turbines (wind).
 */
export interface WhatIf {
  capacity_kw?: number | null;
  tilt?: number | null;
  azimuth?: number | null;
  extra_turbines?: number | null;
}

/**
 * What runs now, and what a replica can do and costs: what is left out is that of the tenant's settings.
 */
export interface WorkloadConfig {
  service_name?: string | null;
  current_replicas: number;
  capacity_per_pod?: number | null;
  cost_per_replica_hour?: number | null;
}

/**
 * The 80 % band of every number, whatever an answer shows, and which share of outcomes it held in the backtest.
 *
 * Of a task without that band it is the widest.
 */
export interface foretell__app__basis__Interval {
  level: number;
  covered: number | null;
}

/**
 * The mean power of the hour that starts at `start`, kW, which is as many kWh; `weather` tells what it rests on.
 *
 * `expected_kw` is the median, of several plants the sum of theirs: what is expected adds up. Bounds don't.
 */
export interface EnergyHour {
  start: string;
  expected_kw: number;
  low_kw: number;
  high_kw: number;
  weather: "forecast" | "none";
}

/**
 * What moved the energy told, in words, and by how many kWh.
 */
export interface EnergyReason {
  words: string;
  effect_kwh: number;
}

/**
 * Of how many old hours (out of sample) the 80 % band held what share; of the method in service.
 */
export interface EnergyTrack {
  hours: number;
  held: number | null;
}

/**
 * Of `n` old forecasts of what goes out in one to four weeks, the share whose 80 % band `held` it.
 *
 * Out of sample. A band of what goes out by a day is one of the day by which so much has gone out.
 */
export interface InventoryTrack {
  n: number;
  held: number | null;
}

/**
 * What a feature adds to the chance: by how much that would be less without it, everything else kept.
 *
 * `guard` says for what protected attribute it may stand, where it may.
 */
export interface RealestateReason {
  feature: string;
  words: string;
  value: number | null;
  contribution: number;
  guard?: string | null;
}

/**
 * What is expected of one hour: `expected` is the median, low to high should hold 80 of 100 hours.
 */
export interface TrafficHour {
  start: string;
  expected: number;
  low: number;
  high: number;
}
