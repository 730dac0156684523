"""Train one library's DQN; run by ``peers.py`` in that library's own virtual environment.

python train.py {ours,rejax,sb3,sbx}
"""

import sys
from typing import Any

from serve import Work, compiled, serve


def ours(settings: dict[str, Any]) -> Work:
    """Train with this library, seeds spread over all cores."""
    import job

    config = job.config(**settings["config"])
    count = settings["seeds"]
    work, _ = compiled(job.many(job.ours(config), count), job.keys(count))
    plan = config.schedule
    return work._replace(facts={**work.facts, "updates": plan.updates, "env_steps": plan.env_steps})


def rejax(settings: dict[str, Any]) -> Work:
    """Train with rejax, seeds by ``jax.vmap``, as its documentation does."""
    import jax
    import rejax

    told = settings["told"]
    steps, num_envs = told["total_steps"], told["num_envs"]
    algorithm = rejax.get_algo("dqn").create(
        env=told["env"],
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
        num_envs=num_envs,
        buffer_size=told["capacity"],
        fill_buffer=told["warmup_steps"],
        batch_size=told["batch_size"],
        learning_rate=told["learning_rate"],
        gamma=told["discount"],
        max_grad_norm=told["max_grad_norm"],
        target_update_freq=told["target_period"] * num_envs,
        polyak=0.0,
        eps_end=told["epsilon_end"],
        exploration_fraction=(told["warmup_steps"] + told["epsilon_steps"]) / steps,
        agent_kwargs={"activation": "relu"},  # its widths are fixed at 64-64
    )
    # Evaluating is no part of the work that is compared.
    algorithm = algorithm.replace(eval_callback=lambda *_: ())
    keys = jax.random.split(jax.random.PRNGKey(0), settings["seeds"])
    work, _ = compiled(jax.vmap(algorithm.train), keys)
    # It asks before a step whether the buffer was full, and then learns once a step.
    iterations = -(-steps // num_envs)
    updates = iterations - told["warmup_steps"] // num_envs - 1
    return work._replace(
        facts={**work.facts, "updates": updates, "env_steps": iterations * num_envs}
    )


def sb3(settings: dict[str, Any]) -> Work:
    """Train with Stable-Baselines3, on one thread of PyTorch, which is its fastest here."""
    import torch
    from stable_baselines3 import DQN

    torch.set_num_threads(1)
    return _stable_baselines(
        DQN, settings, {"max_grad_norm": settings["told"]["max_grad_norm"], "device": "cpu"}
    )


def sbx(settings: dict[str, Any]) -> Work:
    """Train with SBX."""
    from sbx import DQN

    return _stable_baselines(DQN, settings, {})


def _stable_baselines(algorithm: Any, settings: dict[str, Any], extra: dict[str, Any]) -> Work:
    from stable_baselines3.common.env_util import make_vec_env

    told = settings["told"]
    steps, num_envs = told["total_steps"], told["num_envs"]
    model = algorithm(
        "MlpPolicy",
        make_vec_env(told["env"], n_envs=num_envs, seed=0),
        learning_rate=told["learning_rate"],
        buffer_size=told["capacity"],
        learning_starts=told["warmup_steps"],
        batch_size=told["batch_size"],
        gamma=told["discount"],
        train_freq=1,  # in steps of all environments
        gradient_steps=1,
        target_update_interval=told["target_period"] * num_envs,
        exploration_final_eps=told["epsilon_end"],
        exploration_fraction=(told["warmup_steps"] + told["epsilon_steps"]) / steps,
        policy_kwargs={"net_arch": list(told["widths"]), "activation_fn": _relu(algorithm)},
        seed=0,
        **extra,
    )
    model.learn(told["warmup_steps"] + 10 * num_envs)  # whatever is compiled is compiled now
    already = model._n_updates
    model.learn(told["warmup_steps"] + 10 * num_envs)
    each = model._n_updates - already
    updates = each + (steps - told["warmup_steps"] - 10 * num_envs) // num_envs

    def run() -> None:
        model.learn(steps)

    return Work(run, {"updates": updates, "env_steps": steps})


def _relu(algorithm: Any) -> Any:
    if algorithm.__module__.startswith("sbx"):
        import flax.linen

        return flax.linen.relu
    import torch

    return torch.nn.ReLU


PACKAGES = {
    "ours": ["jax", "gymnax"],
    "rejax": ["rejax", "jax", "gymnax"],
    "sb3": ["stable-baselines3", "torch", "gymnasium"],
    "sbx": ["sbx-rl", "jax", "gymnasium"],
}

if __name__ == "__main__":
    name = sys.argv[1]
    if name == "ours":
        from jaxdqn import devices

        devices.use_all_cores()
    serve({"ours": ours, "rejax": rejax, "sb3": sb3, "sbx": sbx}[name], PACKAGES[name])
