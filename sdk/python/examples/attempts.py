"""Prepares a state once, forks it, and tries several commands on it at the same time. Usage: attempts.py PREPARE COMMAND..."""

from __future__ import annotations

import asyncio
import sys
import tempfile

from bvisor import AsyncSandbox


async def attempt(sb: AsyncSandbox, command: str) -> str:
    result = await sb.bash(command, timeout=60)
    changes = await result.changes()
    await sb.close()
    return f"{command!r}: exit code {result.exit_code} after {result.duration:.2f} s, {len(changes)} changes, {result.stdout.strip()!r}"


async def main(prepare: str, commands: list[str]) -> None:
    with tempfile.TemporaryDirectory() as place:
        async with AsyncSandbox() as sb:
            await sb.bash(prepare, check=True)
            forks = await sb.fork(len(commands), to=place, keep=False)
        for line in await asyncio.gather(*map(attempt, forks, commands)):
            print(line)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
