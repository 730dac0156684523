"""Train by one library; run by ``peers.py`` and ``rollouts.py`` in its own virtual environment.

python train.py {ours,rejax,sb3,sbx,purejaxrl,purejaxql}
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

from serve import Work, compiled, serve


def ours(settings: dict[str, Any]) -> Work:
    """Train with this library, seeds spread over all cores."""
    import job

    make = job.rollout if "method" in settings["config"] else job.config
    config = make(**settings["config"])
    count = settings["seeds"]
    work, _ = compiled(job.many(job.ours(config), count), job.keys(count))
    plan = config.schedule
    return work._replace(facts={**work.facts, "updates": plan.updates, "env_steps": plan.env_steps})


def rejax(settings: dict[str, Any]) -> Work:
    """Train with rejax, seeds by ``jax.vmap``, as its documentation does."""
    import jax
    import rejax

    if "replacing" in settings["changes"]:
        rejax.buffers.ReplayBuffer.sample = _with_replacement
    told = settings["told"]
    steps, num_envs = told["total_steps"], told["num_envs"]
    name, samples = "dqn", {}
    if fractions := settings["fractions"]:
        name, samples = (
            "iqn",
            dict.fromkeys(("num_tau_samples", "num_tau_prime_samples"), fractions),
        )
    algorithm = rejax.get_algo(name).create(
        **samples,
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


def _with_replacement(buffer: Any, count: int, key: Any) -> Any:
    """Draw from rejax's buffer as ours draws, in place of ``jax.random.choice`` without."""
    import jax

    places = jax.random.randint(key, (count,), 0, buffer.num_entries)
    return jax.tree.map(lambda x: x[places], buffer.data)


def purejaxrl(settings: dict[str, Any]) -> Work:
    """Train PPO with PureJaxRL, seeds by ``jax.vmap``, as its documentation does."""
    from purejaxrl import ppo

    told = settings["told"]
    words = {
        **_shouted(told), "LR": told["learning_rate"], "UPDATE_EPOCHS": told["epochs"],
        "CLIP_EPS": told["clip_range"], "ENT_COEF": told["entropy_coefficient"],
        "VF_COEF": told["value_coefficient"], "GAE_LAMBDA": told["gae_lambda"],
        "ACTIVATION": "tanh", "ANNEAL_LR": False,
    }  # fmt: skip
    return _pure(ppo.make_train(words), settings)


def purejaxql(settings: dict[str, Any]) -> Work:
    """Train PQN with PureJaxQL, seeds by ``jax.vmap``, as its documentation does."""
    from purejaxql import pqn_gymnax

    return _pure(pqn_gymnax.make_train(pqn_words(settings["told"])), settings)


def pqn_words(told: dict[str, Any]) -> dict[str, Any]:
    """Return what PureJaxQL calls the settings of PQN."""
    return {
        **_shouted(told), "LR": told["learning_rate"], "NUM_EPOCHS": told["epochs"],
        "TOTAL_TIMESTEPS_DECAY": told["total_steps"], "EPS_START": told["epsilon_start"],
        "EPS_FINISH": told["epsilon_end"], "LAMBDA": told["td_lambda"],
        "EPS_DECAY": told["epsilon_steps"] / told["total_steps"], "NORM_TYPE": "layer_norm",
        "HIDDEN_SIZE": told["widths"][0], "NUM_LAYERS": len(told["widths"]),
        "WANDB_MODE": "disabled",
    }  # fmt: skip


def _shouted(told: dict[str, Any]) -> dict[str, Any]:
    """Return what both call alike."""
    return {
        "ENV_NAME": told["env"], "TOTAL_TIMESTEPS": told["total_steps"],
        "NUM_ENVS": told["num_envs"], "NUM_STEPS": told["rollout_steps"],
        "NUM_MINIBATCHES": told["minibatches"], "GAMMA": told["discount"],
        "MAX_GRAD_NORM": told["max_grad_norm"],
    }  # fmt: skip


def _pure(train: Callable[..., Any], settings: dict[str, Any]) -> Work:
    import jax

    told, count = settings["told"], settings["seeds"]
    keys = jax.random.split(jax.random.PRNGKey(0), count)
    work, _ = compiled(*((jax.vmap(train), keys) if count > 1 else (train, keys[0])))
    gathered = told["num_envs"] * told["rollout_steps"]
    iterations = told["total_steps"] // gathered
    updates = iterations * told["epochs"] * told["minibatches"]
    return work._replace(
        facts={**work.facts, "updates": updates, "env_steps": iterations * gathered}
    )


def sb3(settings: dict[str, Any]) -> Work:
    """Train with Stable-Baselines3, on as many threads of PyTorch as it is fastest with."""
    import torch
    from stable_baselines3 import DQN

    extra = {"max_grad_norm": settings["told"]["max_grad_norm"], "device": "cpu"}
    tried = {}
    for threads in (1, os.cpu_count() or 1):
        torch.set_num_threads(threads)
        work, short = _stable_baselines(DQN, settings, extra)
        began = time.perf_counter()
        short()
        tried[threads] = time.perf_counter() - began
    fastest = min(tried, key=lambda threads: tried[threads])
    torch.set_num_threads(fastest)
    return work._replace(facts={**work.facts, "threads": fastest})


def sbx(settings: dict[str, Any]) -> Work:
    """Train with SBX."""
    from sbx import DQN

    return _stable_baselines(DQN, settings, {})[0]


def _stable_baselines(
    algorithm: Any, settings: dict[str, Any], extra: dict[str, Any]
) -> tuple[Work, Callable[[], Any]]:
    """Return the whole training, and a short one."""
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
    learning = 50  # steps of all environments

    def short() -> None:
        model.learn(told["warmup_steps"] + learning * num_envs)

    short()  # whatever is compiled is compiled now
    already = model._n_updates
    short()
    updates = model._n_updates - already
    updates += (steps - told["warmup_steps"]) // num_envs - learning
    return Work(lambda: model.learn(steps), {"updates": updates, "env_steps": steps}), short


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
    "purejaxrl": ["jax", "gymnax"],
    "purejaxql": ["jax", "gymnax"],
}

if __name__ == "__main__":
    name = sys.argv[1]
    if name == "ours":
        from jaxdqn.parallel import devices

        devices.use_cores()
    libraries = (ours, rejax, sb3, sbx, purejaxrl, purejaxql)
    serve({library.__name__: library for library in libraries}[name], PACKAGES[name])
