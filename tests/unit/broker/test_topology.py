"""The topology agrees with itself."""

from libs.common.broker.declare import Names, dead_arguments, queue_arguments
from libs.common.broker.topology import COMMANDS, DEAD, EVENTS, QUEUES


def test_names_are_unique_and_dead_letter_queues_are_nobodys_queue() -> None:
    names = [queue.name for queue in QUEUES] + [queue.dead for queue in QUEUES]
    assert len(set(names)) == len(names)


def test_a_command_queue_is_bound_by_its_own_name() -> None:
    for queue in QUEUES:
        assert queue.exchange in (EVENTS, COMMANDS)
        if queue.exchange == COMMANDS:
            assert queue.bindings == (queue.name,)


def test_every_queue_is_bounded_and_dead_letters_at_least_once() -> None:
    for queue in QUEUES:
        arguments = queue_arguments(queue, Names(""))
        assert arguments["x-queue-type"] == "quorum"
        assert arguments["x-overflow"] == "reject-publish"
        assert arguments["x-dead-letter-strategy"] == "at-least-once"
        assert arguments["x-dead-letter-exchange"] == DEAD
        assert "x-max-priority" not in arguments
    assert dead_arguments()["x-overflow"] == "reject-publish"


def test_a_namespace_prefixes_names_on_the_broker_and_nothing_else() -> None:
    names = Names("run-1")
    assert names.on_broker(EVENTS) == "run-1.reeve.events"
    assert names.in_topology("run-1.reeve.events") == EVENTS
    assert names.in_topology("other.reeve.events") == "other.reeve.events"
    assert Names("").on_broker(EVENTS) == EVENTS
    assert queue_arguments(QUEUES[0], names)["x-dead-letter-exchange"] == "run-1.reeve.dead"
    assert queue_arguments(QUEUES[0], names)["x-dead-letter-routing-key"] == QUEUES[0].name
