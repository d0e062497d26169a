/**
 * Activations cut short: at any call, by a crash, an error of the disk, or a full one. Every start afterwards
 * ends in the one state there is: the migration took effect once, in one entry.
 */

import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { readStatus } from '../src/log/status.ts';
import { STATUS_COPIES } from '../src/log/status-copies.ts';
import { open } from '../src/node/open.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import {
  balances,
  DIR,
  deposit,
  drawSeeds,
  forgetCheckpoints,
  log,
  openBank,
  refusal,
  statusOf,
  v1,
  v2,
} from './support/bank-versions.ts';
import { diskFrom, readDisk } from './support/disk-bytes.ts';
import { type Call, InterposedFileSystem, refuse } from './support/interposed-file-system.ts';

test('machine versions: a full disk refuses the activation; the version before can be opened', async () => {
  const files = new LossyFileSystem();
  await deposit(files, v1, 'alice');
  const fs = new InterposedFileSystem(files.kill());
  fs.onCall = (call) => {
    if (call.op === 'write' && call.path.includes('spare-')) refuse(call, 'ENOSPC');
  };
  const error = await refusal(fs, v2);
  strictEqual(error.code, 'TIDEMARK_DISK_FULL');
  deepStrictEqual(fs.handles, []);
  fs.onCall = () => undefined;
  deepStrictEqual(await balances(fs, v1, 'alice'), [10]);
  deepStrictEqual(await balances(fs, v2, 'alice'), [10]);
});

for (const op of ['write', 'sync', 'sync-data', 'open', 'create', 'rename'] as const) {
  test(`machine versions: EIO at any ${op} of an activation: the next start ends the same`, async (t) => {
    let failures = 0;
    for (let number = 1; ; number++) {
      const inner = new MemoryFileSystem();
      await deposit(inner, v1, 'alice', 'bob');
      const fs = new InterposedFileSystem(inner);
      let count = 0;
      fs.onCall = (call) => {
        if (call.op === op && ++count === number) refuse(call, 'EIO');
      };
      const node = await openBank(fs, v2).catch((error: unknown) => {
        ok(isTidemarkError(error), String(error));
        return null;
      });
      await node?.close().catch(() => undefined);
      fs.onCall = () => undefined;
      if (count < number) break;
      failures++;
      deepStrictEqual(fs.handles, [], `${op} ${number}`);
      await checkActivated(inner);
    }
    t.diagnostic(`${failures} failures`);
  });
}

/** Whatever happened: opened with version 2, the directory is in the one state there is. */
async function checkActivated(fs: FileSystem): Promise<void> {
  const seed = drawSeeds(3);
  const node = await openBank(fs, v2, seed);
  strictEqual(await node.query('balance', 'alice'), 10);
  await node.submit('deposit', { to: 'bob', amount: 10 });
  const { lastIndex } = node.stats();
  strictEqual(lastIndex, 4, 'two deposits, one activation, one deposit');
  const { root } = await node.root();
  strictEqual(root, await expectedRoot(fs));
  await node.close();
  deepStrictEqual(await statusOf(fs), { version: 2, earlier: [{ version: 1, lastIndex: 2 }] });
  const again = await openBank(fs, v2, seed + 1);
  strictEqual((await again.root()).root, root);
  await again.close();
  strictEqual((await refusal(fs, v1)).code, 'TIDEMARK_MACHINE_MISMATCH');
  await forgetCheckpoints(fs);
  const replayed = await openBank(fs, v2, seed + 2);
  strictEqual(replayed.recovery.entriesReplayed, 4);
  strictEqual((await replayed.root()).root, root);
  await replayed.close();
}

/** The root of the same content under the same cluster id, written in another way. */
async function expectedRoot(fs: FileSystem): Promise<string> {
  const { status } = await readStatus(fs, DIR);
  const plain = machine({
    name: 'bank',
    tables: { accounts: table<{ balance: number; since: number }>(), totals: table<number>() },
    commands: {
      fill({ accounts, totals }) {
        totals.set('all', 20);
        accounts.set('bob', { balance: 30, since: 3 });
        accounts.set('alice', { balance: 10, since: 3 });
      },
    },
  });
  const clusterId = Buffer.from(status.clusterId, 'hex');
  const random = new SeededRandom(drawSeeds(1));
  let drawn = 0;
  const chance = {
    fill<Bytes extends Uint8Array>(target: Bytes): Bytes {
      if (drawn++ > 0) return random.fill(target);
      target.set(clusterId); // The first that is drawn when a directory is made.
      return target;
    },
  };
  await using node = await open({ machine: plain, dir: 'memory:', log, doors: { chance } });
  await node.submit('fill');
  return (await node.root()).root;
}

test('machine versions A2: crashed at any call of an activation, every start ends the same', async (t) => {
  let states = 0;
  for (let call = 1; ; call++) {
    for (const effect of ['none', 'done'] as const) {
      const made = new LossyFileSystem({ seed: 7 });
      await deposit(made, v1, 'alice', 'bob');
      const files = made.kill();
      files.crashAt(files.callCount + call, effect);
      const node = await openBank(files, v2).catch(() => null);
      await node?.close().catch(() => undefined);
      if (!files.hasCrashed) {
        t.diagnostic(`${states} states after crashes at ${call - 1} calls`);
        ok(call > 40);
        return;
      }
      const images = [...files.crashImages({ subsetUnitsMax: 0, randomSubsets: 3, byteTearsMax: 0 })];
      const image = images[(call * 7) % images.length]!.files;
      for (const disk of effect === 'done' ? [files.kill(), image] : [image]) {
        states++;
        await checkActivated(disk);
      }
    }
  }
});

test('machine versions: a status that lags behind the log learns what is active from it', async () => {
  const inner = new MemoryFileSystem();
  await deposit(inner, v1, 'alice', 'bob');
  const fs = new InterposedFileSystem(inner);
  const isStatus = (call: Call): boolean => call.op === 'write' && call.path.endsWith('/status');
  // The last write of the status, in four copies, is the one that follows the activation.
  const probe = new InterposedFileSystem(await diskFrom(await readDisk(inner, DIR)));
  const opened = await openBank(probe, v2);
  const last = probe.calls.filter(isStatus).length - STATUS_COPIES + 1;
  await opened.close();
  let count = 0;
  fs.onCall = (call) => {
    if (isStatus(call) && ++count === last) refuse(call, 'EIO');
  };
  await rejects(openBank(fs, v2));
  deepStrictEqual(await statusOf(inner), { version: 1, earlier: [] });
  // The program of version 1 finds out only in the log, before anything is changed.
  const older = await refusal(inner, v1);
  deepStrictEqual([older.code, older.facts['found']], ['TIDEMARK_MACHINE_MISMATCH', 'bank 2']);
  await checkActivated(inner);
});
