"""What the states are called for people."""

from llm_service.core.model import Status

STATUS_LABELS = {
    Status.RUNNING: "running",
    Status.COMPLETED: "complete",
    Status.INCOMPLETE: "incomplete",
    Status.FAILED: "failed",
    Status.CANCELLED: "stopped",
    Status.INTERRUPTED: "interrupted",
}
