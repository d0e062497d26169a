/**
 * The checkpoints of a node (checklist G1 to G5): when they are taken and shared, what they give back, and
 * what happens when one turns out to be damaged.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { isTidemarkError, type TidemarkError } from '../src/base/errors.ts';
import type { CheckpointOptions } from '../src/checkpoint/checkpoint-options.ts';
import { surveyCheckpoints } from '../src/checkpoint/survey-checkpoints.ts';
import { open } from '../src/node/open.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { assertUnchanged, damage, diskFrom, readDisk } from './support/disk-bytes.ts';
import { HeldReads } from './support/held-reads.ts';
import { DATA_DIR, NEWEST_ONLY, SEGMENT_BYTES } from './support/test-log.ts';

const CHECKPOINTS = `${DATA_DIR}/checkpoints`;

/** Ids of files are never drawn twice. */
let seedsUsed = 0;

function openOn(fs: FileSystem, checkpoint: CheckpointOptions = {}) {
  const doors = { fs, chance: new SeededRandom(++seedsUsed) };
  const options = { ...NEWEST_ONLY, ...checkpoint };
  return open({ dir: DATA_DIR, log: { segmentBytes: SEGMENT_BYTES }, checkpoint: options, doors });
}

type OpenNode = Awaited<ReturnType<typeof openOn>>;

const KEYS = 400;
const keyOf = (at: number): string => `key-${String(at).padStart(5, '0')}`;

/** Sets every key to a value of its own in this round. */
async function fill(node: OpenNode, round: string): Promise<void> {
  await Promise.all(
    Array.from({ length: KEYS }, (_, at) =>
      node.submit('SET', keyOf(at), `${round} ${at} `.padEnd(300, '.')),
    ),
  );
}

async function checkFilled(node: OpenNode, round: string): Promise<void> {
  const keys = Array.from({ length: KEYS }, (_, at) => keyOf(at));
  const values = (await node.query('MGET', ...keys)) as (Uint8Array | null)[];
  for (const [at, value] of values.entries()) {
    ok(
      value !== null && Buffer.from(value).toString().startsWith(`${round} ${at} `),
      `${keyOf(at)} of ${round}`,
    );
  }
}

/** Checkpoints as a start finds them, newest first. */
async function found(fs: FileSystem) {
  return (await surveyCheckpoints(fs, DATA_DIR, null)).checkpoints;
}

// ------------------------------------------------------------------------------------------------ taking

test('node G1: what asks while one is taken shares the next, and nothing new is the same one', async () => {
  const fs = new MemoryFileSystem();
  const node = await openOn(fs);
  await fill(node, 'first');
  const first = node.checkpoint();
  ok(node.stats().checkpoints.isTaking);
  await node.submit('SET', keyOf(0), 'while it runs');
  const others = await Promise.all([node.checkpoint(), node.checkpoint(), node.checkpoint()]);
  const { index, file, kind } = await first;
  strictEqual(kind, 'full');
  for (const other of others) deepStrictEqual(other, others[0]);
  ok(others[0].index > index && others[0].kind === 'incremental');
  ok(others[0].bytes < (await first).bytes / 5, 'only what changed is written');
  deepStrictEqual(await node.checkpoint(), others[0], 'nothing has changed');
  strictEqual((await found(fs)).length, 2);
  ok(!node.stats().checkpoints.isTaking);
  deepStrictEqual(node.stats().checkpoints.last, others[0]);
  strictEqual(node.lastCheckpointAt, others[0].takenAt);
  await node.close();
  const names = (await found(fs)).map(({ path }) => path.slice(CHECKPOINTS.length + 1));
  deepStrictEqual(names, [others[0].file, file], 'and close finds nothing new either');
});

test('node G2: the log reaches back to the oldest kept checkpoint, and no further', async () => {
  const fs = new MemoryFileSystem();
  const node = await openOn(fs, { checkpointsKept: 2 });
  const indexes: number[] = [];
  for (let round = 0; round < 5; round++) {
    await fill(node, `round ${round}`);
    indexes.push((await node.checkpoint()).index);
    const oldestKept = indexes.at(-2) ?? indexes[0]!;
    // While no other checkpoint is a way back, the log is.
    strictEqual(node.stats().firstIndex, round === 0 ? 1 : oldestKept + 1);
    deepStrictEqual(
      (await found(fs)).map(({ info }) => info.index),
      indexes.slice(-2).toReversed(),
    );
  }
  const segments = (await fs.list(`${DATA_DIR}/log`)).filter((name) => name.endsWith('.log'));
  ok(segments.length < 10, segments.join());
  await node.close();

  const keeping = await openOn(fs, { checkpointsKept: 2, compactLogAfterCheckpoint: false });
  const { firstIndex } = keeping.stats();
  await fill(keeping, 'more');
  await keeping.checkpoint();
  strictEqual(keeping.stats().firstIndex, firstIndex, 'the log is kept when it shall be');
  await keeping.close();
});

test('node G2: a log that grows while the state hardly changes is given back all the same', async () => {
  const fs = new MemoryFileSystem();
  const node = await openOn(fs, { checkpointsKept: 2 });
  for (const round of ['first', 'second']) {
    await fill(node, round);
    await node.checkpoint();
  }
  const full = node.stats().checkpoints.last!.bytes;
  const logBytes = async (): Promise<number> => {
    const names = (await fs.list(`${DATA_DIR}/log`)).filter((name) => name.endsWith('.log'));
    const stats = await Promise.all(names.map((name) => fs.stat(`${DATA_DIR}/log/${name}`)));
    return stats.reduce((sum, stat) => sum + stat!.bytes, 0);
  };
  let logBytesMax = 0;
  for (let round = 0; round < 50; round++) {
    for (let at = 0; at < 50; at++) await node.submit('INCR', 'hot');
    await node.checkpoint();
    logBytesMax = Math.max(logBytesMax, await logBytes());
  }
  ok(logBytesMax < 20 * full, `${logBytesMax} bytes of log, a full checkpoint takes ${full}`);
  await node.close();
});

test('node G2, G3: with the whole log, damage of every checkpoint costs nothing but time', async () => {
  const fs = new MemoryFileSystem();
  const node = await openOn(fs, { compactLogAfterCheckpoint: false });
  await fill(node, 'first');
  await node.checkpoint();
  await fill(node, 'second');
  await node.close();
  const all = await found(fs);
  strictEqual(all.length, 2);
  for (const { path } of all) await damage(fs, path, (bytes) => void (bytes[100]! ^= 1));
  const again = await openOn(fs);
  strictEqual(again.recovery.checkpoint, null);
  for (const { path } of all) {
    const warning = again.recovery.warnings.find((text) => text.includes(path));
    match(warning ?? '', /is damaged at offset \d+: .*; the whole log was replayed/);
  }
  await checkFilled(again, 'second');
  await again.close();
  strictEqual((await found(fs)).length, 1, 'and close has taken one');
});

test('node: in memory a checkpoint is taken on request, and none at close', async () => {
  const fs = new MemoryFileSystem();
  const doors = { fs, chance: new SeededRandom(++seedsUsed) };
  const log = { segmentBytes: SEGMENT_BYTES };
  const node = await open({ dir: 'memory:', log, doors });
  await node.submit('SET', 'a', '1');
  strictEqual((await node.checkpoint()).keys, 1);
  await node.submit('SET', 'b', '2');
  await node.close();
  strictEqual((await surveyCheckpoints(fs, '/memory', null)).checkpoints.length, 1);
});

test('node: close takes a checkpoint when something changed, unless told not to', async () => {
  const fs = new MemoryFileSystem();
  await (await openOn(fs)).close();
  strictEqual((await found(fs)).length, 0, 'of nothing there is none');
  for (const [checkpointOnClose, wanted] of [
    [false, 0],
    [true, 1],
    [true, 2],
  ] as const) {
    const node = await openOn(fs, { checkpointOnClose });
    await node.whenLoaded();
    await node.submit('INCR', 'n');
    await node.close();
    strictEqual((await found(fs)).length, wanted);
  }
  const node = await openOn(fs);
  strictEqual(Buffer.from((await node.query('GET', 'n')) as Uint8Array).toString(), '3');
  await node.close();
  strictEqual((await found(fs)).length, 2, 'nothing changed');
});

// ------------------------------------------------------------------------------------------------ damage

/** Two full checkpoints and a log since the older one, closed. */
async function twoCheckpoints(): Promise<MemoryFileSystem> {
  const fs = new MemoryFileSystem();
  const node = await openOn(fs, { checkpointOnClose: false });
  for (const round of ['older', 'newer']) {
    await fill(node, round);
    await node.checkpoint();
  }
  await node.submit('SET', 'last', 'in the log');
  await node.close();
  deepStrictEqual(
    (await found(fs)).map(({ info }) => info.kind),
    ['full', 'full'],
  );
  return fs;
}

/** Spoils all leaves of the newest checkpoint where they stand, under the handles that are open. */
async function spoilLeaves(fs: FileSystem): Promise<string> {
  const [newest] = await found(fs);
  const { name, innerOffset } = newest!.info.files[0]!;
  const path = `${CHECKPOINTS}/${name}`;
  const file = await fs.open(path, 'write');
  await file.write(new Uint8Array(innerOffset - 64).fill(0xee), 64);
  await file.close();
  return path;
}

for (const way of ['a query', 'a command', 'loading'] as const) {
  test(`node G2, G5: damage after the start, met by ${way}, stops it; the next uses an older`, async () => {
    const fs = await twoCheckpoints();
    const [newest, older] = await found(fs);
    const held = await HeldReads.on(fs, DATA_DIR);
    const node = await openOn(held.fs, {
      checkpointsKept: 2,
      verifyBytesMax: 0,
      loadConcurrency: 1,
      bufferBytes: 4096,
    });
    strictEqual(node.recovery.checkpoint?.index, newest!.info.index);
    const events = node.events();
    const path = await spoilLeaves(fs);
    const isDamage = (error: unknown): boolean =>
      isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED') && error.facts['file'] === path;
    const loaded = rejects(node.whenLoaded());
    const waiting = rejects(node.checkpoint(), isDamage);
    if (way === 'a query') await rejects(node.query('GET', keyOf(300)), isDamage);
    else if (way === 'a command') await rejects(node.submit('APPEND', keyOf(300), '+'), isDamage);
    else held.release();
    ok(isDamage(await node.whenStopped()), 'that is why it stopped');
    await waiting;
    for (const call of [node.query('DBSIZE'), node.submit('SET', 'a', '1'), node.checkpoint()]) {
      await rejects(call, isDamage, 'nothing more is answered');
    }
    held.release();
    await loaded;
    await node.close();
    deepStrictEqual(held.fs.handles, []);
    const damages: unknown[] = [];
    for await (const event of events)
      if (event.kind === 'damage-found') damages.push(event.file, event.isNeeded);
    deepStrictEqual(damages, [path, true], 'the damage is told once');

    const next = await openOn(fs, { checkpointsKept: 2 });
    strictEqual(next.recovery.checkpoint?.index, older!.info.index);
    const told = next.recovery.warnings.join('; ');
    ok(told.includes(`the one of entry ${older!.info.index} was used`), told);
    await checkFilled(next, 'newer');
    strictEqual(Buffer.from((await next.query('GET', 'last')) as Uint8Array).toString(), 'in the log');
    await next.whenLoaded();
    ok((await next.checkpoint()).index > newest!.info.index);
    await next.close();
    const kept = await fs.list(`${DATA_DIR}/quarantine`);
    ok(kept.includes(path.slice(CHECKPOINTS.length + 1)), 'and nothing damaged was deleted');
  });
}

test('node G2: a damaged file that all of a chain need leaves the full checkpoint before it', async () => {
  const fs = new MemoryFileSystem();
  const node = await openOn(fs, { checkpointsKept: 2, checkpointOnClose: false });
  for (const round of ['older', 'newer']) {
    await fill(node, round);
    await node.checkpoint();
  }
  for (let count = 0; count < 4; count++) {
    await node.submit('SET', 'count', String(count));
    strictEqual((await node.checkpoint()).kind, 'incremental');
  }
  await node.close();
  const all = await found(fs);
  const base = all[0]!.info.files[0]!;
  const sharing = all.filter(({ info }) => info.files.some(({ id }) => id === base.id));
  ok(sharing.length >= 2 && sharing.length < all.length, 'several need it, and one does not');
  await damage(fs, `${CHECKPOINTS}/${base.name}`, (bytes) => void bytes.fill(0xee, 64, base.innerOffset));

  const again = await openOn(fs, { checkpointsKept: 2 });
  strictEqual(again.recovery.checkpoint?.index, all.at(-1)!.info.index);
  await checkFilled(again, 'newer');
  strictEqual(Buffer.from((await again.query('GET', 'count')) as Uint8Array).toString(), '3');
  for (const { path } of sharing) ok((await fs.stat(path)) === null, `${path} was moved aside`);
  await again.close();
});

test('node G3: the only way back is never moved aside, and a start without one changes nothing', async () => {
  const fs = await twoCheckpoints();
  const [newest, older] = await found(fs);
  await fs.remove(older!.path);
  const held = await HeldReads.on(fs, DATA_DIR);
  const node = await openOn(held.fs, { verifyBytesMax: 0, loadConcurrency: 1, bufferBytes: 4096 });
  const path = await spoilLeaves(fs);
  await rejects(node.query('GET', keyOf(300)), { code: 'TIDEMARK_CHECKPOINT_DAMAGED' });
  const stopped = await node.whenStopped();
  held.release();
  await node.close();
  ok(isTidemarkError(stopped, 'TIDEMARK_CHECKPOINT_DAMAGED'));
  deepStrictEqual(
    (await found(fs)).map(({ path: at }) => at),
    [newest!.path],
  );

  const before = await readDisk(fs, DATA_DIR);
  const refused: TidemarkError[] = [];
  for (let tries = 0; tries < 2; tries++) {
    await rejects(openOn(fs), (error) => {
      ok(isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED'));
      refused.push(error);
      return true;
    });
    await assertUnchanged(fs, DATA_DIR, before);
  }
  const [error] = refused;
  strictEqual(error!.remedy, 'restore');
  strictEqual(error!.facts['file'], path);
  ok(Number(error!.facts['offset']) >= 64);
  const lastMissing = Number(error!.facts['missingLastIndex']);
  strictEqual(lastMissing, older!.info.index, 'the log begins behind the older one');
  match(error!.message, /Nothing was changed\. Copy the data directory/);
  ok(error!.message.includes(`a backup of any index from ${lastMissing} to`), error!.message);
  ok(error!.message.includes(`the entries 1 to ${lastMissing} of the log`), error!.message);
});

test('node G2: a checkpoint that lost its newest log is refused, for entries are missing', async () => {
  const fs = await twoCheckpoints();
  const [newest] = await found(fs);
  const segments = (await fs.list(`${DATA_DIR}/log`)).filter((name) => name.endsWith('.log'));
  const disk = await diskFrom(await readDisk(fs, DATA_DIR));
  await disk.remove(`${DATA_DIR}/log/${segments.at(-1)}`);
  await rejects(openOn(disk), { code: 'TIDEMARK_LOG_DAMAGED' });
  // Damaged as well, the newest still tells how far the log must reach.
  await damage(disk, newest!.path, (bytes) => void (bytes[40]! ^= 1));
  await rejects(openOn(disk), { code: 'TIDEMARK_LOG_DAMAGED' });
});

test('stop F1: who waits for a checkpoint when the node stops is told why', async () => {
  const fs = await twoCheckpoints();
  const held = await HeldReads.on(fs, DATA_DIR);
  const node = await openOn(held.fs, { verifyBytesMax: 0, loadConcurrency: 1, bufferBytes: 4096 });
  const waiting = rejects(node.checkpoint(), { code: 'TIDEMARK_LOG_POISONED' });
  const loaded = rejects(node.whenLoaded(), { code: 'TIDEMARK_LOG_POISONED' });
  held.fs.onCall = ({ op, path }) => {
    if (op === 'sync-data' && /log\//.test(path)) throw new Error('planted');
  };
  await rejects(node.submit('SET', 'a', '1'), { code: 'TIDEMARK_LOG_POISONED' });
  await waiting;
  await rejects(node.checkpoint(), { code: 'TIDEMARK_LOG_POISONED' });
  held.release();
  await loaded;
  held.fs.onCall = () => undefined;
  for (let turns = 0; turns < 20; turns++) await turn();
  await node.close();
  strictEqual((await found(fs)).length, 2, 'and none was taken');
});
