"""Train PQN on a game of MinAtar; run by ``minatar.py`` in its library's own virtual environment.

python minatar.py {ours,purejaxql}
"""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from serve import Work, compiled, serve
from train import pqn_words

SEEDED = "(lambda_returns, last_q),"
MENDED = "(lambda_returns, jnp.max(transitions.q_val[-1], axis=-1)),"
"""What the published scan of λ-returns begins with, and what belongs there: the value of the last
state, from which the step before it bootstraps, and not that of the state behind the rollout."""


def ours(settings: dict[str, Any]) -> Work:
    """Train by the shipped settings, seeds spread over all cores."""
    import job

    import jaxdqn

    told, count = settings["told"], settings["seeds"]
    configs = Path(jaxdqn.__file__).parent.parent / "configs"
    config = jaxdqn.load_config(
        configs / "pqn_breakout.toml", env=told["env"], total_steps=told["total_steps"],
        epsilon_steps=told["epsilon_steps"], evaluations=1, eval_episodes=told["episodes"],
        eval_steps=told["episode_steps"],
    )  # fmt: skip
    train = job.many(job.ours(config), count)
    return compiled(
        train, job.keys(count), told=lambda found: _returns(found[1].eval_return[:, -1])
    )[0]


def purejaxql(settings: dict[str, Any]) -> Work:
    """Train by the published settings of MinAtar, one seed after the other.

    Its documentation takes ``jax.vmap``, which makes its convolution slower than that on a CPU.
    """
    import jax

    told, count = settings["told"], settings["seeds"]
    words = {**pqn_words(told), "LR_LINEAR_DECAY": True}
    module = _module(settings["mended"])
    keys = jax.random.split(jax.random.PRNGKey(0), count)
    train = module.make_train(words)
    return compiled(lambda keys: jax.lax.map(train, keys), keys, told=_judge(module, told))[0]


def _module(mended: bool) -> ModuleType:
    """Return PureJaxQL's training on MinAtar, as it was published or with its λ-returns mended."""
    from purejaxql import pqn_minatar

    if not mended:
        return pqn_minatar
    published = Path(pqn_minatar.__file__).read_text(encoding="utf-8")
    if published.count(SEEDED) != 1:
        raise RuntimeError(f"{pqn_minatar.__file__} no longer has '{SEEDED}'.")
    module = ModuleType("pqn_minatar_mended")
    sys.modules[module.__name__] = module
    exec(compile(published.replace(SEEDED, MENDED), "mended", "exec"), module.__dict__)
    return module


def _judge(module: ModuleType, told: dict[str, Any]) -> Callable[[Any], dict[str, Any]]:
    """Return what gives the greedy return of the first episodes, a mean for each seed."""
    import gymnax
    import jax
    import jax.numpy as jnp

    env, params = gymnax.make(told["env"])
    network = module.QNetwork(action_dim=env.action_space(params).n)

    def episode(known: Any, key: Any) -> Any:
        def step(carry: Any, key: Any) -> Any:
            obs, state, going, total = carry
            action = jnp.argmax(network.apply(known, obs[None], train=False)[0])
            obs, state, reward, done, _ = env.step(key, state, action, params)
            return (obs, state, going & ~done, total + going * reward), None

        key, begin = jax.random.split(key)
        start = (*env.reset(begin, params), True, 0.0)
        return jax.lax.scan(step, start, jax.random.split(key, told["episode_steps"]))[0][-1]

    def judge(found: Any) -> dict[str, Any]:
        trained = found["runner_state"][0]
        known = {"params": trained.params, "batch_stats": trained.batch_stats}
        keys = jax.random.split(jax.random.PRNGKey(1), told["episodes"])
        played = jax.vmap(lambda known: jax.vmap(lambda key: episode(known, key))(keys).mean())
        return _returns(jax.jit(played)(known))

    return judge


def _returns(each: Any) -> dict[str, Any]:
    return {"returns": [float(number) for number in each]}


PACKAGES = ["jax", "gymnax"]

if __name__ == "__main__":
    name = sys.argv[1]
    if name == "ours":
        from jaxdqn.parallel import devices

        devices.use_cores()
    serve({"ours": ours, "purejaxql": purejaxql}[name], PACKAGES)
