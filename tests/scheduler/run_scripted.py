"""A process that runs the service around a script: python -m tests.scheduler.run_scripted STATE_DIR SECONDS KIND.

KIND is `quick`, or `slow`: then the model `slow` works until the file STATE_DIR/go-on is there. SECONDS is how long
running actions may take at the end. Writes STATE_DIR/finished once the slow step is done.
"""

from __future__ import annotations

import random
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.logs import set_up_logs
from reconciler.metrics import Metrics
from reconciler.passes import StepResult
from reconciler.redaction import Redactor
from reconciler.service import Surroundings, run
from reconciler.settings import GitSettings, HttpSettings, LoopSettings, MlflowSettings, Settings
from tests.scheduler.scripted import Scripted, settled


def main(state_dir: Path, seconds: float, kind: str) -> int:
    """Run until a signal."""
    settings = Settings(
        state_dir=state_dir,
        git=GitSettings(poll_interval=timedelta(seconds=0.2)),
        mlflow=MlflowSettings(read_interval=timedelta(seconds=0.2)),
        http=HttpSettings(port=0),
        loop=LoopSettings(interval=timedelta(seconds=1), shutdown_timeout=timedelta(seconds=seconds)),
    )
    redactor = Redactor(["pl4nted-s3cret"])
    set_up_logs(settings.log, redactor, sys.stderr)

    def slow(name: str) -> StepResult:
        while not (state_dir / "go-on").exists():
            time.sleep(0.01)
        (state_dir / "finished").touch()
        return settled(name)

    def broken(_name: str) -> StepResult:
        raise RuntimeError("login failed with pl4nted-s3cret")

    script = Scripted(models={"iris", "broken", *(["slow"] if kind == "slow" else [])})
    script.steps = {"slow": slow, "broken": broken}
    return run(
        script,
        settings,
        Surroundings(
            clock=lambda: datetime.now(UTC),
            uniform=random.uniform,
            metrics=Metrics("0"),
            redactor=redactor,
            subscribe=lambda _changed: None,
            sick_watches=tuple,
        ),
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
