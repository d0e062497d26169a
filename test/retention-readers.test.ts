/**
 * What a running node keeps while it is read (src/node/{history,node-checkpoints}.ts). Goal: views, rewinds,
 * tags, removals and verification at the same time, under any policy and a clock that jumps by years; what is
 * listed as kept comes back with the root that was recorded, every point that the log leads to as well, and a
 * view that is open stays what it is. Method: random runs against a model of every entry and command, with
 * several of these begun at once.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { isTidemarkError } from '../src/base/errors.ts';
import type { CheckpointOptions } from '../src/checkpoint/checkpoint-options.ts';
import { verifyCheckpoints } from '../src/checkpoint/verify-checkpoints.ts';
import { open } from '../src/node/open.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { InterposedFileSystem } from './support/interposed-file-system.ts';
import { JumpingClock } from './support/jumping-clock.ts';
import { DIR, type KeyValueNode, nameOf, RecordedPast, type RecordedPoint } from './support/recorded-past.ts';
import { seedOf } from './support/seed.ts';

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;

type View = Awaited<ReturnType<KeyValueNode['at']>>;

class Run {
  readonly random: SeededRandom;
  readonly clock = new JumpingClock();
  readonly fs = new InterposedFileSystem(new MemoryFileSystem());
  readonly past: RecordedPast;
  readonly policy: CheckpointOptions;
  /** Views that stay open, and what each must go on to be. */
  readonly views: { readonly view: View; readonly point: RecordedPoint }[] = [];
  readonly counts = { views: 0, refused: 0, removed: 0, verified: 0, rewinds: 0 };

  constructor(random: SeededRandom) {
    this.random = random;
    this.policy = somePolicy(random);
    this.past = new RecordedPast(this.fs, random, this.policy, this.clock);
    // Calls of one do not end before those of another begin.
    this.fs.whenReady = () => (random.happens(0.3) ? turns(random.between(1, 20)) : null);
  }

  /** Several things at once; each that fails must be one that may. */
  async step(node: KeyValueNode): Promise<void> {
    const { random, past, clock } = this;
    for (let writes = random.between(1, 4); writes > 0; writes--) await past.write(node);
    clock.advance(random.pick([1000, HOUR_MS, 30 * HOUR_MS]));
    if (random.happens(0.1)) clock.setAhead(random.pick([0, -3 * YEAR_MS, 10 * YEAR_MS]));
    const doings = [
      () => this.look(node, random.pick(past.points)),
      () => this.look(node, this.#oldestOf(node)),
      () => this.prune(node),
      () => this.verify(),
      () => this.tag(node),
    ];
    await Promise.all([
      node.checkpoint(),
      ...doings.filter(() => random.happens(0.5)).map((doing) => doing()),
    ]);
    if (random.happens(0.15)) await this.rewind(node);
    if (random.happens(0.3)) await this.closeSome();
    await past.note();
  }

  /** Lets time pass while it goes on: rests between slices are timers. */
  async whileTimePasses(live: () => Promise<void>): Promise<void> {
    let isOver = false;
    const living = live().finally(() => {
      isOver = true;
    });
    while (!isOver) {
      this.clock.advance(1);
      await turn();
    }
    await living;
  }

  /** The state of the checkpoint that goes first; that of the beginning when there is none. */
  #oldestOf(node: KeyValueNode): RecordedPoint {
    const index = node.checkpoints().at(-1)?.index ?? 0;
    const { points } = this.past;
    return points.find((point) => point.index === index && point.commands === null) ?? points[0]!;
  }

  /** Opens a view, and keeps it open for a while; what is not kept is refused. */
  async look(node: KeyValueNode, point: RecordedPoint): Promise<void> {
    const { index, commands } = point;
    try {
      const view = await node.at(nameOf(index, commands));
      this.views.push({ view, point });
      this.counts.views++;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.counts.refused++;
    }
  }

  async closeSome(): Promise<void> {
    for (const { view, point } of this.views.splice(0)) {
      strictEqual((await view.root()).root, point.root, `the view at ${nameOf(point.index, point.commands)}`);
      await view.close();
    }
  }

  async prune(node: KeyValueNode): Promise<void> {
    const { removed } = await node.prune();
    this.counts.removed += removed.length;
    for (const { index } of removed) {
      ok(!node.tags().some((tag) => tag.index === index), `${index} is tagged, and was removed`);
    }
  }

  /** As `tidemark verify` beside the node: what goes meanwhile is no damage. */
  async verify(): Promise<void> {
    const doors = { fs: this.fs, clock: this.clock };
    for await (const verdict of verifyCheckpoints(doors, DIR, null)) {
      ok(verdict.kind !== 'damaged', JSON.stringify(verdict));
      this.counts.verified++;
    }
  }

  async tag(node: KeyValueNode): Promise<void> {
    const { random } = this;
    const found = node.checkpoints();
    const name = `tag-${random.below(3)}`;
    if (found.length === 0 || random.happens(0.3)) return void (await node.untag(name));
    try {
      await node.tag(name, random.pick(found).index);
    } catch (error) {
      if (!isTidemarkError(error, 'TIDEMARK_OPTION_INVALID')) throw error; // It was just removed.
    }
  }

  async rewind(node: KeyValueNode): Promise<void> {
    const point = this.random.pick(this.past.points);
    try {
      strictEqual((await node.rewind(nameOf(point.index, point.commands))).index, point.index);
      this.counts.rewinds++;
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
    await this.past.note();
  }

  /** Each checkpoint that is listed comes back, and so does what the log has behind the oldest it needs. */
  async requireKept(node: KeyValueNode): Promise<void> {
    const { points } = this.past;
    await this.past.note(); // What expired since is an entry, too.
    const rootAt = (index: number): string =>
      points.find((point) => point.index === index && point.commands === null)!.root;
    const { firstIndex } = node.stats();
    for (const { index } of node.checkpoints().slice(0, this.policy.checkpointsKept)) {
      ok(
        index >= firstIndex - 1,
        `the log goes back to ${firstIndex}, and a start may need it from ${index} on`,
      );
    }
    const last = Number(points.at(-1)!.index);
    const indices = node.checkpoints().map(({ index }) => Number(index));
    for (let index = Number(firstIndex); index <= last; index++) {
      if (indices.some((from) => from >= firstIndex - 1 && from <= index) || firstIndex === 1)
        indices.push(index);
    }
    for (const index of indices.filter((_, at) => at < 40)) {
      await using view = await node.at(index);
      strictEqual((await view.root()).root, rootAt(index), `at ${index}`);
    }
    for (const { name, index } of node.tags()) {
      ok(
        node.checkpoints().some((one) => one.index === index),
        `the checkpoint of ${name}`,
      );
    }
  }
}

function isRefusal(error: unknown): boolean {
  return isTidemarkError(error, 'TIDEMARK_POINT_NOT_KEPT') || isTidemarkError(error, 'TIDEMARK_BUSY');
}

async function turns(count: number): Promise<void> {
  for (let at = 0; at < count; at++) await turn();
}

function somePolicy(random: SeededRandom): CheckpointOptions {
  return {
    checkpointsKept: random.between(2, 3), // With one, the log would lose entries before the model saw them.
    checkpointAgeMs: random.pick([0, 2 * HOUR_MS]),
    agedKept: random.pick([2, 4]),
    generations: { daily: random.below(3) },
    spacedKept: random.pick([0, 2, 4]),
    logAgeMs: random.pick([0, 0, HOUR_MS]),
    checkpointIntervalMs: 0,
    loadConcurrency: 2,
    bufferBytes: 4096,
  };
}

async function live(run: Run): Promise<void> {
  for (let start = 0; start < 3; start++) {
    const node = await run.past.open();
    for (let step = 0; step < 12; step++) await run.step(node);
    await run.closeSome();
    await run.requireKept(node);
    deepStrictEqual(run.past.sessionFailures, []);
    await node.close();
    await run.past.note();
  }
}

for (let round = 1; round <= 4; round++) {
  test(`retention: nothing that is read or kept goes while a node runs, round ${round}`, async (t) => {
    const run = new Run(new SeededRandom(seedOf(t)));
    await run.whileTimePasses(() => live(run));
    t.diagnostic(JSON.stringify(run.counts));
  });
}

test('retention: what a view is just being made from is not removed', async () => {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  const checkpoint = { checkpointsKept: 1, checkpointAgeMs: 0, logAgeMs: 0, checkpointOnClose: false };
  const doors = { fs, clock: new ManualClock(), chance: new SeededRandom(1) };
  const node = await open({ dir: DIR, log: { segmentBytes: 64 * 1024 }, checkpoint, doors });
  const fill = (byte: number): Promise<unknown> =>
    Promise.all(
      Array.from({ length: 50 }, (_, at) => node.submit('SET', `k${at}`, new Uint8Array(3000).fill(byte))),
    );
  await fill(1);
  const then = await node.checkpoint({ tag: 'then' });
  await fill(2);
  await node.checkpoint();
  await node.untag('then');
  let pruned: Promise<unknown> | null = null;
  fs.whenReady = ({ op, path }) => {
    if (op !== 'open' || !path.endsWith(`_${then.index}.data`)) return null;
    pruned ??= node.prune();
    return pruned.then(() => undefined);
  };
  const view = await node.at(then.index);
  ok(pruned !== null, 'it was removed while the view was made');
  strictEqual((await view.root()).root, then.root);
  deepStrictEqual((await node.prune()).removed, [], 'as long as the view is open');
  await view.close();
  deepStrictEqual(
    (await node.prune()).removed.map(({ index }) => index),
    [then.index],
  );
  await node.close();
});
