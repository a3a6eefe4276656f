"""How trials are called wherever they are watched: the names of their runs and of their metrics."""

from __future__ import annotations

from sweeps.events import Event

METRICS = {  # of an epoch's event -> as the original study called them
    "train_loss": "loss",
    "val_loss": "eval_loss",
    "val_acc": "eval_acc",
    "train_acc": "train_acc",
    "val_loss_codes": "eval_codes",
    "val_acc_codes": "eval_acc_codes",
    "train_acc_codes": "train_acc_codes",
    # of a confirmed run's last epoch; the original study had no such phase
    "test_loss": "test_loss",
    "test_acc": "test_acc",
}


def metrics(epoch: Event) -> dict[str, float]:
    """Return what an epoch's event tells, by the metrics' names, without what is missing or not finite."""
    return {name: epoch[field] for field, name in METRICS.items() if epoch.get(field) is not None}


def run_name(deal: Event, separator: str) -> str:
    """Return how a dealt trial's run is called: its arm first, then its number, or fold and seed if it is confirmed."""
    if "fold" not in deal:
        return f"{deal['arm']}{separator}{deal['trial']:04}"
    rank = [f"rank{deal['rank']}"] * (deal["rank"] > 1)
    return separator.join([deal["arm"], *rank, f"fold{deal['fold']}", f"seed{deal['seed']}"])
