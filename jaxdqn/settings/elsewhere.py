"""What settings are called elsewhere, for whoever knows them by another name."""

from collections.abc import Iterable

from jaxdqn.errors import ConfigError, nearest, unknown

SURE = 0.75
"""Share of letters from which it is hardly anything else that was meant."""
TABLES = ("env_kwargs", "env_params")
"""Settings that hold what an environment takes."""

NAMES: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate",),
    "gamma": ("discount",),
    "tau": ("target_rate",),
    "polyak": ("target_rate",),
    "hidden": ("widths", "width"),
    "hidden_sizes": ("widths", "width"),
    "hidden_size": ("widths", "width"),
    "net_arch": ("widths",),
    "buffer_size": ("capacity",),
    "replay_size": ("capacity",),
    "memory_size": ("capacity",),
    "total_timesteps": ("total_steps", "updates"),
    "n_envs": ("num_envs",),
    "n_steps": ("n_step", "rollout_steps"),
    "num_steps": ("rollout_steps", "total_steps"),
    "learning_starts": ("warmup_steps",),
    "train_freq": ("train_every",),
    "gradient_steps": ("updates_per_step", "updates"),
    "target_update": ("target_period",),
    "target_update_interval": ("target_period",),
    "target_update_freq": ("target_period",),
    "target_network_frequency": ("target_period",),
    "eps": ("epsilon_start", "epsilon_end", "epsilon_steps"),
    "epsilon": ("epsilon_start", "epsilon_end", "epsilon_steps"),
    "epsilon_decay": ("epsilon_steps",),
    "exploration_fraction": ("epsilon_steps",),
    "exploration_initial_eps": ("epsilon_start",),
    "exploration_final_eps": ("epsilon_end",),
    "ent_coef": ("entropy_coefficient",),
    "vf_coef": ("value_coefficient",),
    "seed": ("seeds", "first_seed"),
    "seeds": ("seeds",),
    "first_seed": ("first_seed",),
}
"""Name in papers and other libraries → what is set here; none of them is accepted. Seeds are no
settings: only commands have them."""


def unknown_setting(kind: str, name: str, known: Iterable[str], where: str = "") -> ConfigError:
    """Return the error for a setting that isn't one: what it is called here, or what is nearest.

    Args:
        kind: what the message calls it.
        name: of the setting.
        known: what there is.
        where: it stands, after a blank.
    """
    known = set(known)
    if meant := [repr(ours) for ours in NAMES.get(name, ()) if ours in known]:
        return ConfigError(
            f"{kind} {name!r} is not known{where}: did you mean {' or '.join(meant)}?"
        )
    if name in ("seed", "seeds", "first_seed"):
        return ConfigError(
            f"{kind} {name!r} is not known{where}, since seeds are no settings: give them to the "
            "command (--seeds and --first_seed; of a language model --seed), or in Python as the "
            "key, jax.random.key(0)."
        )
    tables = " or ".join(table for table in TABLES if table in known)
    said = unknown(kind, name, known, where)
    if not tables or nearest(name, known, SURE) is not None:
        return said
    return ConfigError(f"{said} What the environment takes goes into {tables}.")
