/** `machine({...})`: what it takes and refuses, at run time and at compile time. */

import { deepStrictEqual, rejects, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import type { CallableMachine } from '../src/engine/machine.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { open } from '../src/node/open.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';

const small = { log: { segmentBytes: 64 * 1024 } };
const code = (wanted: string) => (error: unknown) => isTidemarkError(error) && error.code === wanted;

const empty = { tables: {}, commands: {} };

for (const { what, name, version } of [
  { what: 'an empty name', name: '', version: 1 },
  { what: 'a name of 65 characters', name: 'x'.repeat(65), version: 1 },
  { what: 'a name with a line break', name: 'two\nlines', version: 1 },
  { what: 'a name with an escape character', name: '\u001b[31mred', version: 1 },
  { what: 'a name with C1 control character', name: 'next\u0085line', version: 1 },
  { what: 'a name with half a character', name: 'half \ud83d', version: 1 },
  { what: 'a name that is no text', name: 5 as unknown as string, version: 1 },
  { what: 'version 0', name: 'it', version: 0 },
  { what: 'a version that is no integer', name: 'it', version: 1.5 },
  { what: 'a version that is text', name: 'it', version: '2' as unknown as number },
  { what: 'a version beyond the integers', name: 'it', version: 2 ** 53 },
]) {
  test(`typed machine: ${what} is refused, also of a hand-written machine, before anything is made`, async () => {
    throws(() => machine({ name, version, ...empty }), code('TIDEMARK_OPTION_INVALID'));
    const fs = new MemoryFileSystem();
    const byHand: CallableMachine<unknown, unknown> = { ...machine(empty), name, version };
    await rejects(
      open({ machine: byHand, dir: '/data', doors: { fs }, ...small }),
      code('TIDEMARK_OPTION_INVALID'),
    );
    strictEqual(await fs.stat('/data'), null);
  });
}

for (const { name, version } of [
  { name: 'x', version: 1 },
  { name: 'x'.repeat(64), version: 2 ** 53 - 1 },
  { name: 'Bücher 😀', version: 7 },
]) {
  test(`typed machine: ${name}, version ${version}, is taken and found again`, async () => {
    const fs = new MemoryFileSystem();
    for (const isNew of [true, false]) {
      const taken = machine({ name, version, ...empty });
      await using node = await open({ machine: taken, dir: '/data', doors: { fs }, ...small });
      deepStrictEqual(node.recovery.isNew, isNew);
    }
  });
}
