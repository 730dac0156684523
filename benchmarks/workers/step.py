"""Step one library's maze; run by ``environments.py`` in that library's own virtual environment.

python step.py {ours,gymnax,jumanji,navix,xminigrid}
"""

import sys
import time
from collections.abc import Callable
from typing import Any

from serve import Work, compiled, serve

# reset(keys [B]) -> carry, and step(carry, keys [B], actions [B]) -> (carry, rewards [B]).
Stepper = tuple[Callable[..., Any], Callable[..., Any]]


def ours(kind: str, size: int, limit: int) -> Stepper:
    """Return our corridor mazes, start and goal drawn in each episode; kind: levels and view."""
    from jaxdqn.maze import Maze

    levels, observation = kind.split()
    env = Maze(size, size, "corridors", num_levels=int(levels), start="random", goal="random",
               observation=observation)  # fmt: skip
    return _gymnax(env, env.default_params.replace(max_steps_in_episode=limit))


def gymnax(kind: str, size: int, limit: int) -> Stepper:
    """Return a maze of gymnax; FourRooms is 13 × 13 always."""
    import gymnax

    env, params = gymnax.make(kind, **({"maze_size": size} if kind == "MetaMaze-misc" else {}))
    return _gymnax(env, params.replace(max_steps_in_episode=limit))


def _gymnax(env: Any, params: Any) -> Stepper:
    import jax

    def reset(keys: Any) -> Any:
        return jax.vmap(env.reset, (0, None))(keys, params)

    def step(carry: Any, keys: Any, actions: Any) -> Any:
        obs, state, rewards, *_ = jax.vmap(env.step, (0, 0, 0, None))(
            keys, carry[1], actions, params
        )
        return (obs, state), rewards

    return reset, step


def jumanji(kind: str, size: int, limit: int) -> Stepper:
    """Return Jumanji's Maze, which makes a new one for each episode."""
    from jumanji.environments.routing.maze import Maze
    from jumanji.environments.routing.maze.generator import RandomGenerator
    from jumanji.wrappers import AutoResetWrapper, VmapWrapper

    del kind
    env = VmapWrapper(AutoResetWrapper(Maze(RandomGenerator(size, size), time_limit=limit)))

    def step(carry: Any, keys: Any, actions: Any) -> Any:
        del keys
        state, timestep = env.step(carry[0], actions)
        return (state, timestep), timestep.reward

    return env.reset, step


def navix(kind: str, size: int, limit: int) -> Stepper:
    """Return Navix' empty room with random starts; it resets in the step after an end."""
    import jax
    from navix import observations, rewards, terminations
    from navix.environments import Room

    env = Room.create(
        size,
        size,
        max_steps=limit,
        random_start=True,
        observation_fn=getattr(observations, kind),
        reward_fn=rewards.on_goal_reached,
        termination_fn=terminations.on_goal_reached,
    )

    def step(carry: Any, keys: Any, actions: Any) -> Any:
        del keys
        timestep = jax.vmap(env.step)(carry, actions)
        return timestep, timestep.reward

    return jax.vmap(env.reset), step


def xminigrid(kind: str, size: int, limit: int) -> Stepper:
    """Return a room of XLand-MiniGrid."""
    import jax
    import xminigrid
    from xminigrid.wrappers import GymAutoResetWrapper

    env, params = xminigrid.make(kind)
    params = params.replace(height=size, width=size, max_steps=limit)
    env = GymAutoResetWrapper(env)

    def step(carry: Any, keys: Any, actions: Any) -> Any:
        del keys
        timestep = jax.vmap(env.step, (None, 0, 0))(params, carry, actions)
        return timestep, timestep.reward

    return lambda keys: jax.vmap(env.reset, (None, 0))(params, keys), step


def prepare(library: str, settings: dict[str, Any]) -> Work:
    """Compile some steps with given actions, done again and again for about as long as asked.

    The observation is carried from step to step, so that no compiler can leave it out.
    """
    import jax

    make = {"ours": ours, "gymnax": gymnax, "jumanji": jumanji, "navix": navix,
            "xminigrid": xminigrid}[library]  # fmt: skip
    batch, length = settings["batch"], settings["length"]
    reset, step = make(settings["kind"], settings["size"], settings["limit"])
    key = jax.random.PRNGKey(0)
    keys = jax.random.split(key, length)
    actions = jax.random.randint(key, (length, batch), 0, 4)

    def rollout(carry: Any, keys: Any, actions: Any) -> Any:
        def one(carry: Any, inputs: Any) -> Any:
            key, action = inputs
            carry, rewards = step(carry, jax.random.split(key, batch), action)
            return carry, rewards.sum()

        return jax.lax.scan(one, carry, (keys, actions))

    held = [jax.jit(reset)(jax.random.split(key, batch))]
    work, program = compiled(rollout, held[0], keys, actions)

    def run(times: int) -> None:
        for _ in range(times):
            held[0], _ = program(held[0], keys, actions)
        jax.block_until_ready(held[0])

    began = time.perf_counter()
    run(1)
    times = max(1, int(settings["seconds"] / (time.perf_counter() - began)))
    return Work(lambda: run(times), {**work.facts, "steps": times * length * batch})


PACKAGES = {"ours": ["jax", "gymnax"], "gymnax": ["jax", "gymnax"]}

if __name__ == "__main__":
    name = sys.argv[1]
    serve(lambda settings: prepare(name, settings), PACKAGES.get(name, [name, "jax"]))
