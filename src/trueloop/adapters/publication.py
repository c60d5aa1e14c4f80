"""Publishing rubrics and policies on their topics."""

from datetime import datetime

from trueloop.adapters.kafka import Publisher, read_events
from trueloop.adapters.registry import connect
from trueloop.config import Settings
from trueloop.errors import ConfigurationError
from trueloop.events import PolicyPublished, RubricPublished
from trueloop.rubrics.policy import Policy
from trueloop.rubrics.publication import check_policy, is_new, policy_event, rubric_event
from trueloop.rubrics.rubric import Rubric
from trueloop.topics import POLICIES, RUBRICS


class Documents:
    """The published rubrics and policies. Reads the topics on every call: they are small, and others publish too."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._codec = connect(settings.registry)

    def rubrics(self) -> list[RubricPublished]:
        """Return every published version of every rubric, oldest first. Raises UnavailableError."""
        found = [event for event in read_events(self._settings.kafka, self._codec, RUBRICS) if isinstance(event, RubricPublished)]
        return sorted(found, key=lambda event: (event.occurred_at, event.rubric_id, event.version))

    def policies(self) -> list[PolicyPublished]:
        """Return every published version of every policy, oldest first. Raises UnavailableError."""
        found = [event for event in read_events(self._settings.kafka, self._codec, POLICIES) if isinstance(event, PolicyPublished)]
        return sorted(found, key=lambda event: (event.occurred_at, event.policy_id, event.version))

    def publish_rubric(self, rubric: Rubric, now: datetime) -> bool:
        """Publish a rubric; return False when this very version is published already.

        Raises ConfigurationError when the version was published with other content, UnavailableError when Kafka or the registry is away.
        """
        if not is_new(rubric, self.rubrics()):
            return False
        Publisher(self._settings.kafka, self._codec).publish([rubric_event(rubric, now)])
        return True

    def publish_policy(self, policy: Policy, now: datetime) -> tuple[bool, tuple[str, ...]]:
        """Publish a policy, which is in force from `now`; return whether it was new, and the warnings of `check_policy`.

        Raises ConfigurationError when its rubric is not published, does not fit, or the version was published with other content;
        UnavailableError when Kafka or the registry is away.
        """
        reference = policy.rubric
        documents = [event.document for event in self.rubrics() if (event.rubric_id, event.version) == (reference.id, reference.version)]
        if not documents:
            raise ConfigurationError(
                f"policy {policy.id!r} names rubric {reference.id!r} version {reference.version}, which is not published; "
                f"first run `trueloop rubric publish {reference.id}`, or its file"
            )
        warnings = check_policy(policy, Rubric.model_validate_json(documents[-1]))
        if not is_new(policy, self.policies()):
            return False, warnings
        Publisher(self._settings.kafka, self._codec).publish([policy_event(policy, now)])
        return True, warnings
