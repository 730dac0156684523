"""What can be set of learning from sequences, and which settings of it contradict each other."""

from jaxdqn.errors import ConfigError
from jaxdqn.settings import RunSettings, Schedule, static
from jaxdqn.settings.dqn import DQNSettings, check_shared


class R2D2Settings(DQNSettings):
    """Double DQN with a memory, from sequences of steps that a replay holds."""

    batch_size: int = static(32, low=1)
    """Sequences in one gradient update (B), drawn with replacement."""
    burn_in: int = static(8, low=0)
    """Steps at the start of a sequence that only refresh what is remembered; no gradient."""
    unroll: int = static(16, low=1)
    """Steps behind them that are learned from, and through which the gradient goes back."""

    without = ()

    @property
    def window(self) -> int:
        """Steps of one environment in line that an update needs."""
        return self.burn_in + self.unroll + self.n_step - 1

    def schedule(self, run: RunSettings) -> Schedule:
        """Return exact counts: warm-up, iterations per evaluation, environment steps, updates."""
        return super().schedule(run)._replace(batch_size=self.batch_size * self.window)

    def check(self, run: RunSettings) -> None:
        """Refuse, with a ``ConfigError``, numbers of steps that can't go together."""
        super().check(run)
        made = self.schedule(run).warmup_iterations
        said = f"burn_in ({self.burn_in}) + unroll ({self.unroll})"
        if self.n_step > 1:
            said += f" + n_step ({self.n_step}) - 1"
        if self.window > made:
            raise ConfigError(
                f"{said} = {self.window} steps exceed those that warm-up makes in each environment "
                f"({made}): raise warmup_steps to {self.window * run.num_envs} or more."
            )
        why = "method 'r2d2', so that steps of one environment stay in line"
        check_shared(self.capacity, run.num_envs, why)
