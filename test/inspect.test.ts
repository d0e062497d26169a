/** `tidemark inspect log --commands`: what it says about commands of a machine whose program it has not. */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { describeCall, encodeCall } from '../src/engine/call.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { open } from '../src/node/open.ts';
import { ROOT } from './support/project.ts';

for (const { name, args, want } of [
  { name: 'clear', args: [], want: 'clear()' },
  { name: 'add', args: [{ to: 'alice', amount: 10n }], want: 'add({"to":"alice","amount":"10n"})' },
  { name: 'put', args: [[Buffer.from('ab'), new Uint8Array(3)]], want: 'put(["2 bytes","3 bytes"])' },
  { name: 'say', args: ['\u001b[31m \u009b'], want: 'say("\\u001b[31m ·")' },
  { name: 'say', args: ['x'.repeat(5000)], want: `say("${'x'.repeat(1023)}…)` },
]) {
  test(`inspect: shows ${want.slice(0, 40)}`, () => strictEqual(describeCall(encodeCall(name, args)), want));
}

test('inspect: bytes that are no call are nothing else', () => {
  const bytes = [[], [0x93], [0xc1], [0x81, 0xa1, 0x61, 0x01], [0x91, 0xa1, 0x07], [0x91, 0x91, 0x91]];
  deepStrictEqual(
    bytes.map((each) => describeCall(Uint8Array.from(each))),
    bytes.map(() => null),
  );
});

test('inspect: lists the calls of machine({...}), and counts the bytes of others', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const bank = machine({
    name: 'bank',
    tables: { accounts: table<number>() },
    commands: { deposit: ({ accounts }, { to }: { to: string }) => accounts.set(to, 1) },
  });
  const node = await open({ machine: bank, dir, log: { segmentBytes: 64 * 1024 } });
  await node.submit('deposit', { to: 'alice' });
  await new Promise<unknown>((resolve) => {
    node.ordering.enqueue(Buffer.from([0xc0]), { settle: resolve, fail: resolve });
  });
  await node.close();
  const args = [join(ROOT, 'bin/tidemark.mjs'), 'inspect', 'log', dir, '--commands'];
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
  ok(stdout.includes('  deposit({"to":"alice"})\n'), stdout + stderr);
  ok(stdout.includes('  1 bytes\n'), stdout + stderr);
});
