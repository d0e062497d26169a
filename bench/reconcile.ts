/**
 * Two states that differ a little: what it takes to find the differences, and to repair them.
 *
 *     npm run bench -- reconcile
 *
 * Goals, for a hundred differences among a million keys of 256 bytes: at most 1 % of the bytes of a full
 * copy, in at most two rounds more than the tree has levels.
 */

import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DiffCost, diffStates } from '../src/base/merkle/diff-states.ts';
import { decodeNode } from '../src/base/merkle/node.ts';
import { describeSurroundings, surroundings } from '../src/cli/bench/surroundings.ts';
import { table } from '../src/cli/output.ts';
import { openState, openWritable, parseTarget } from '../src/cli/state-target.ts';
import { PatchPlan } from '../src/keyvalue/patch-plan.ts';
import { open } from '../src/node/open.ts';
import { readState, type StoredState } from '../src/node/stored-state.ts';
import { startRedisServer } from '../src/server/redis-server.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';

const KEYS = 1_000_000;
const VALUE_BYTES = 256;
const DIFFERENCES = 100;

const random = new SeededRandom(7);
const rows: (string | number)[][] = [
  ['what', 'found', 'nodes', 'bytes', 'of a copy', 'rounds', 'levels', 'ms'],
];

type KeyValueNode = Awaited<ReturnType<typeof open>>;

async function write(dir: string, body: (node: KeyValueNode) => Promise<void>): Promise<number> {
  const node = await open({ dir });
  await node.whenLoaded();
  await body(node);
  const { bytesNeeded } = await node.checkpoint();
  await node.close();
  return bytesNeeded;
}

async function fill(node: KeyValueNode): Promise<void> {
  const value = random.fill(Buffer.alloc(VALUE_BYTES));
  for (let key = 0; key < KEYS; key++) {
    value.writeUInt32LE(random.u32(), random.below(60) * 4);
    const written = node.submit('SET', keyOf(key), value);
    if (key % 1000 === 999) {
      await written;
      await node.drained();
    }
  }
}

async function change(node: KeyValueNode): Promise<void> {
  for (let changed = 0; changed < DIFFERENCES; changed++) {
    const key = keyOf(random.below(KEYS));
    if (changed % 4 === 0) await node.submit('DEL', key);
    else
      await node.submit(
        'SET',
        changed % 4 === 1 ? `${key}.new` : key,
        random.fill(Buffer.alloc(VALUE_BYTES)),
      );
  }
}

function keyOf(number: number): string {
  return `key:${String(number).padStart(12, '0')}`;
}

async function levelsOf(state: StoredState): Promise<number> {
  const [bytes] = await state.read([{ kind: 'node', hash: state.root, level: 64, key: new Uint8Array(0) }]);
  const root = decodeNode(bytes!);
  return root.kind === 'inner' ? root.level + 1 : 1;
}

async function compare(
  what: string,
  source: StoredState,
  target: StoredState,
  copyBytes: number,
): Promise<void> {
  const levels = Math.max(await levelsOf(source), await levelsOf(target));
  const beganAt = performance.now();
  const diff = diffStates(source, target);
  let found = 0;
  for await (const _ of diff) found++;
  note(what, { found, cost: diff.cost, levels, copyBytes, tookMs: performance.now() - beganAt });
}

function note(
  what: string,
  run: {
    readonly found: number;
    readonly cost: DiffCost;
    readonly levels: number;
    readonly copyBytes: number;
    readonly tookMs: number;
  },
): void {
  const { nodes, bytes, rounds } = run.cost;
  const read = bytes.source + bytes.target;
  const share = `${((100 * read) / run.copyBytes).toFixed(2)} %`;
  const took = Math.round(run.tookMs);
  rows.push([what, run.found, nodes.source + nodes.target, read, share, rounds, run.levels, took]);
}

async function withServer<Result>(dir: string, body: (address: string) => Promise<Result>): Promise<Result> {
  const node = await open({ dir });
  await node.whenLoaded();
  const server = await startRedisServer({ ordering: node.ordering, port: 0, hold: () => node.hold() });
  try {
    return await body(`127.0.0.1:${server.port}`);
  } finally {
    await server.close();
    await node.close();
  }
}

async function repair(source: StoredState, address: string, copyBytes: number): Promise<void> {
  const node = await openWritable(parseTarget(address));
  const target = await node.hold();
  const levels = Math.max(await levelsOf(source), await levelsOf(target));
  const beganAt = performance.now();
  const plan = new PatchPlan((changes) => node.patch(changes));
  const diff = diffStates(target, source, { values: 'target' });
  let found = 0;
  for await (const one of diff) {
    found++;
    const after = 'target' in one && one.target.kind === 'inline' ? one.target.bytes : null;
    await plan.add({ key: one.key, before: 'source' in one ? one.source : null, after });
  }
  await plan.finish();
  note('repair of a running node', {
    found,
    cost: diff.cost,
    levels,
    copyBytes,
    tookMs: performance.now() - beganAt,
  });
  await target.close();
  await node.close();
}

const dir = await mkdtemp(join(tmpdir(), 'tidemark-bench-'));
try {
  const [one, other] = [join(dir, 'one'), join(dir, 'other')];
  const copyBytes = await write(one, fill);
  await cp(one, other, { recursive: true });
  await write(other, change);
  const stored = [await readState({ dir: one }), await readState({ dir: other })] as const;
  await compare('two directories', ...stored, copyBytes);
  for (const state of stored) await state.close();
  await withServer(one, (from) =>
    withServer(other, async (to) => {
      const held = [await openState(parseTarget(from)), await openState(parseTarget(to))] as const;
      await compare('two running nodes', ...held, copyBytes);
      await repair(held[0], to, copyBytes);
      for (const state of held) await state.close();
    }),
  );
} finally {
  await rm(dir, { recursive: true, force: true });
}
console.log(describeSurroundings(surroundings()));
console.log(`${DIFFERENCES} differences among ${KEYS} keys, values of ${VALUE_BYTES} bytes\n`);
console.log(table(rows));
