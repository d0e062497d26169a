/**
 * How fast history is replayed: a view of the past from a checkpoint and the log behind it, while the node is
 * idle, and a rewind of everything that came since; by the real disk.
 *
 *     npm run bench -- replay [--keys N] [--commands N] [--dir PATH] [--json]
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { describeSurroundings, surroundings } from '../src/cli/bench/surroundings.ts';
import { table } from '../src/cli/output.ts';
import { encodeRequest } from '../src/keyvalue/request.ts';
import { open } from '../src/node/open.ts';

const VALUE = 'a'.repeat(64);

const { values: options } = parseArgs({
  options: {
    keys: { type: 'string', default: '100000' },
    commands: { type: 'string', default: '2000000' },
    dir: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
  },
});

type KeyNode = Awaited<ReturnType<typeof open>>;

/** SETs of random keys, in batches as pipelining clients send them. */
async function write(node: KeyNode, commands: number, keys: number): Promise<void> {
  let answered = 0;
  const sink = { settle: () => void answered++, fail: (error: unknown) => console.error(error) };
  for (let sent = 0; sent < commands; ) {
    for (let batch = 0; batch < 1000 && sent < commands; batch++, sent++) {
      node.ordering.enqueue(encodeRequest(['SET', `key:${(sent * 7919) % keys}`, `${VALUE}${sent}`]), sink);
    }
    await node.drained();
    await new Promise((resolve) => setImmediate(resolve));
  }
  while (answered < commands) await new Promise((resolve) => setTimeout(resolve, 5));
}

interface Measured {
  readonly what: string;
  readonly commands: number;
  readonly seconds: number;
  readonly perSecond: number;
  /** Of this process alone: what a machine that does other things too would give. */
  readonly perCpuSecond: number;
  /** Longest time that the event loop was late. */
  readonly stallMs: number;
}

/** @param commands How many were replayed or changed, once it is done. */
async function measure(
  what: string,
  run: () => Promise<{ readonly commands: number; readonly seconds: number }>,
): Promise<Measured> {
  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  const before = process.cpuUsage();
  const { commands, seconds } = await run();
  const { user, system } = process.cpuUsage(before);
  delays.disable();
  const stallMs = Math.max(0, delays.max / 1e6 - 1);
  const perCpuSecond = (1e6 * commands) / (user + system);
  return { what, commands, seconds, perSecond: commands / seconds, perCpuSecond, stallMs };
}

async function timed<Result>(run: () => Promise<Result>): Promise<{ result: Result; seconds: number }> {
  const begun = performance.now();
  const result = await run();
  return { result, seconds: (performance.now() - begun) / 1000 };
}

async function measureAll(dir: string): Promise<Measured[]> {
  const [keys, commands] = [Number(options.keys), Number(options.commands)];
  const node = await open({
    dir,
    checkpoint: { compactLogAfterCheckpoint: false, checkpointOnClose: false },
  });
  await write(node, keys, keys);
  const { index } = await node.checkpoint();
  console.error(`${keys} keys and a checkpoint; now ${commands} commands behind it`);
  await write(node, commands, keys);
  await node.root();
  const measured = [
    await measure('view of now, from the checkpoint', async () => {
      const { result: view, seconds } = await timed(() => node.at(node.stats().appliedIndex));
      await view.close();
      return { commands: view.commandsReplayed, seconds };
    }),
    await measure('view of the checkpoint', async () => {
      const { result: view, seconds } = await timed(() => node.at(index));
      await view.close();
      return { commands: view.commandsReplayed, seconds };
    }),
    await measure('rewind to the checkpoint: keys', async () => {
      const { result, seconds } = await timed(() => node.rewind(index));
      console.error(`the rewind held commands for ${result.heldMs.toFixed(0)} ms`);
      return { commands: result.keysChanged + result.keysAdded + result.keysDeleted, seconds };
    }),
  ];
  await node.close();
  const started = await measure('start without the checkpoint', async () => {
    rmSync(join(dir, 'checkpoints'), { recursive: true });
    const { result, seconds } = await timed(() => open({ dir, checkpoint: { checkpointOnClose: false } }));
    const { commandsReplayed } = result.recovery;
    await result.close();
    return { commands: commandsReplayed, seconds };
  });
  return [...measured, started];
}

const folder = mkdtempSync(join(options.dir, 'tidemark-bench-'));
try {
  const measured = await measureAll(join(folder, 'data'));
  const about = surroundings();
  if (options.json) console.log(JSON.stringify({ ...about, measured }));
  else {
    console.log(describeSurroundings(about));
    const rows = measured.map(({ what, commands, seconds, perSecond, perCpuSecond, stallMs }) => [
      what,
      commands,
      seconds.toFixed(2),
      Math.round(perSecond),
      Math.round(perCpuSecond),
      stallMs.toFixed(1),
    ]);
    console.log(
      table([['', 'commands', 'seconds', 'per second', 'per CPU second', 'longest stall, ms'], ...rows]),
    );
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
