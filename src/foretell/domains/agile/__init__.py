"""Agile: effort, points, sprints, people, and the honesty to say when nothing is known."""

from datetime import timedelta

from foretell.contract import (
    Choice,
    Domain,
    Finding,
    Format,
    Gate,
    Lookup,
    Members,
    Report,
    Retrain,
    Rolling,
    Task,
)
from foretell.domains.agile import (
    assignment,
    decide,
    delivery,
    duration,
    features,
    health,
    models,
    routes,
    sample,
    scale,
    sprints,
    trackers,
)
from foretell.domains.agile.schema import (
    Anomalies,
    AssignmentAnswer,
    AssignmentRequest,
    DeliveryAnswer,
    DurationAnswer,
    DurationRequest,
    EffortAnswer,
    EffortRequest,
    IssueRequest,
    PointsAnswer,
    ProjectRequest,
    ScaleAnswer,
    ScaleRequest,
    Settings,
    SprintRequest,
    SprintRisks,
    Summary,
)
from foretell.domains.agile.tables import TABLES

OF_ISSUE = Lookup(field="project", table="issues", column="project", by="issue", of="issue")
OF_SPRINT = Lookup(field="project", table="sprints", column="project", by="sprint", of="sprint")
RETRAIN = Retrain(age=timedelta(days=30))
ROLLING = Rolling(folds=6, span=0.04)  # one to choose by, then the last fifth of the questions in five steps
FEWEST = 50  # finished issues

EFFORT = Task(
    name="agile.effort",
    target=models.HOURS,
    scope="project",
    reads=features.READS,
    request=EffortRequest,
    answer=EffortAnswer,
    about=decide.about,
    lookups=[OF_ISSUE],
    ask=decide.ask,
    questions=features.questions,
    features=features.effort,
    outcomes=features.hours,
    candidates=models.EFFORT,
    decide=decide.effort,
    headline=decide.effort_headline,
    rolling=ROLLING,
    retrain=RETRAIN,
    gate=Gate(metric="mae", least=50),
    budget=180.0,
    fewest=FEWEST,
    meanwhile="jaccard",
    routes=[routes.EFFORT],
    filed_as="effort_prediction",
)

POINTS = Task(
    name="agile.points",
    target=Choice(of="points"),
    scope="project",
    reads=features.READS,
    request=IssueRequest,
    answer=PointsAnswer,
    about=decide.about,
    lookups=[OF_ISSUE],
    ask=decide.ask,
    questions=features.questions,
    features=features.size,
    outcomes=features.points,
    candidates=models.POINTS,
    decide=decide.points,
    headline=decide.points_headline,
    rolling=ROLLING,
    retrain=RETRAIN,
    gate=Gate(metric="log_loss", least=50),
    fewest=FEWEST,
    meanwhile="jaccard",
    routes=[routes.POINTS],
    filed_as="story_points",
)

ASSIGNMENT = Task(
    name="agile.assignment",
    target=assignment.PERSON,
    scope="project",
    reads=assignment.READS,
    request=AssignmentRequest,
    answer=AssignmentAnswer,
    about=decide.about,
    lookups=[OF_ISSUE, OF_SPRINT],
    ask=assignment.ask,
    questions=features.questions,
    features=None,
    outcomes=assignment.assigned,
    candidates={"weighted": assignment.Weighted, "experience": assignment.Experience},
    decide=assignment.decide,
    headline=assignment.headline,
    rolling=ROLLING,
    retrain=RETRAIN,
    gate=Gate(metric="log_loss", least=50),
    routes=[routes.ASSIGNMENT],
)

DURATION = Task(
    name="agile.duration",
    target=sprints.DAYS,
    scope="project",
    reads=sprints.SPRINT_READS,
    request=DurationRequest,
    answer=DurationAnswer,
    about=decide.about,
    lookups=[OF_SPRINT],
    ask=duration.ask,
    questions=sprints.questions,
    features=sprints.features,
    outcomes=sprints.outcomes,
    candidates=sprints.CANDIDATES,
    decide=duration.decide,
    headline=duration.headline,
    rolling=ROLLING,
    retrain=RETRAIN,
    gate=Gate(metric="mae", least=15),
    meanwhile="usual",
    routes=[routes.DURATION],
    filed_as="sprint_duration",
)

DELIVERY = Task(
    name="agile.delivery",
    target=delivery.DIFFERENCE,
    scope="project",
    reads=sprints.SPRINT_READS,
    request=SprintRequest,
    answer=DeliveryAnswer,
    about=decide.about,
    lookups=[OF_SPRINT],
    ask=delivery.ask,
    questions=delivery.questions,
    features=delivery.features,
    outcomes=delivery.outcomes,
    candidates=delivery.CANDIDATES,
    decide=delivery.decide,
    headline=delivery.headline,
    rolling=ROLLING,
    retrain=RETRAIN,
    gate=Gate(metric="mae", least=15),
)

SPRINT_RISK = Report(
    name="agile.sprint_risk",
    summary="What endangers a sprint",
    reads=health.READS,
    request=SprintRequest,
    answer=SprintRisks,
    about=decide.about,
    lookups=[OF_SPRINT],
    compute=health.sprint_risks,
    routes=[routes.SPRINT_RISK],
)
SUMMARY = Report(
    name="agile.project_summary",
    summary="How a project does",
    reads=health.READS,
    request=ProjectRequest,
    answer=Summary,
    about=decide.about,
    compute=health.summary,
    routes=[routes.SUMMARY],
)
ANOMALIES = Report(
    name="agile.anomalies",
    summary="What is unusual in a project",
    reads=[*health.READS, *health.LED],
    request=ProjectRequest,
    answer=Anomalies,
    about=decide.about,
    compute=health.anomalies,
    subject="project",
    watched=health.active,
    audience=health.lead,
    findings=lambda answer: [
        Finding(kind=one.risk_type, severity=one.severity, words=one.description, evidence=one.evidence)
        for one in answer.anomalies
    ],
)

SCALE = Report(
    name="agile.scale",
    summary="Points for issues of a project that has none, from answers to: which is bigger?",
    reads=features.READS,
    request=ScaleRequest,
    answer=ScaleAnswer,
    about=decide.about,
    compute=scale.scale,
)

DOMAIN = Domain(
    name="agile",
    summary="effort, points, sprints and people of software projects",
    settings=Settings,
    tables=TABLES,
    tasks=[EFFORT, POINTS, ASSIGNMENT, DURATION, DELIVERY],
    reports=[SPRINT_RISK, SUMMARY, ANOMALIES, SCALE],
    formats=[
        Format(name="jira", summary="pages of Jira's search and changelogs", parse=trackers.jira),
        Format(name="github", summary="GitHub's list of issues", parse=trackers.github),
    ],
    members=Members(table="members", of="project", person="person", active="active"),
    sample=sample.sample,
)
