"""What one process tells the others is the same in each version of the service."""

from llm_service.core.wake_ups import NoWakeUps, Topic


def test_the_names_of_topics_stay_as_they_are() -> None:
    """Processes of two versions understand each other while a service is upgraded."""
    names = {"cancel", "watch", "ended", "keys", "cache", "templates", "providers"}
    assert names <= {topic.value for topic in Topic}


def test_a_process_on_its_own_hears_nothing() -> None:
    heard: list[str] = []
    wake_ups = NoWakeUps()
    wake_ups.on(Topic.CANCEL, heard.append)
    wake_ups.send(Topic.CANCEL, "id-1")
    assert heard == []
