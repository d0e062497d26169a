/**
 * A process that runs procedures until it is killed: `DIRECTORY FIRST`. Their effects are lines of a file
 * beside the directory; it prints the id of each that it was answered for.
 */

import { appendFileSync, writeSync } from 'node:fs';
import { open } from '../../src/node/open.ts';
import { procedure } from '../../src/procedures/procedure.ts';
import { tally } from './outside-world.ts';

/** Runs on the way at a time. */
const CLIENTS = 8;

/** The procedures, which write what they do to `file`: lines of `do` or `undo`, and the key. */
export function writersTo(file: string) {
  const write = (what: 'do' | 'undo', key: string): void => appendFileSync(file, `${what} ${key}\n`);
  return (['forward', 'backward'] as const).map((recovery) =>
    procedure(`write_${recovery}`, { recovery, machine: tally }, async (step, name: string) => {
      const undo = (_: unknown, { key }: { readonly key: string }): void => write('undo', key);
      await step('first', ({ key }) => write('do', key), { undo });
      await step.submit(['add', name], { undo: () => ['remove', name] });
      await step('last', ({ key }) => write('do', key), { undo });
      return name;
    }),
  );
}

async function main(dir: string, first: number): Promise<void> {
  const writers = writersTo(`${dir}.effects`);
  const node = await open({ machine: tally, dir, procedures: writers, log: { segmentBytes: 64 * 1024 } });
  let next = first;
  const client = async (): Promise<never> => {
    for (;;) {
      const number = next++;
      const id = `${number}`;
      await node.run(writers[number % 2]!, id, { id });
      writeSync(1, `${id}\n`);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
}

const [, program = '', dir, first] = process.argv;
if (program.includes('procedure-child') && dir !== undefined) await main(dir, Number(first));
