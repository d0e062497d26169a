/** Runs the blocks of a group, one after the other, in a place of their own. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Block, Group } from './blocks.ts';
import { expectOutput } from './expected-output.ts';
import { Place } from './place.ts';
import { runProgram } from './program.ts';
import { runShell } from './shell.ts';
import type { Surroundings } from './surroundings.ts';

export async function runGroup({ name, blocks }: Group, surroundings: Surroundings): Promise<void> {
  const place = new Place(surroundings, blocks[0]!.marks.place === 'checkout' ? 'checkout' : 'project');
  try {
    let at = 0;
    while (at < blocks.length) {
      const block = blocks[at]!;
      if (block.marks.place === 'before, killed') await place.killAll();
      const parts = partsOf(blocks, at);
      if (parts.length === 0) await runOne(block, place);
      else await runProgram(whereOf(block), parts.map(({ text }) => text).join('\n'), place);
      at += Math.max(1, parts.length);
    }
  } finally {
    await place.killAll();
  }
  const last = blocks.at(-1)!;
  if (last.marks.file !== null) throw new Error(`${name}: nothing runs the file ${last.marks.file}`);
}

/** The blocks of the program that begins there; none where no program does. */
function partsOf(blocks: readonly Block[], first: number): readonly Block[] {
  const isPart = ({ language, marks }: Block): boolean => language === 'ts' && marks.file === null;
  const end = blocks.findIndex((block, at) => at >= first && !isPart(block));
  return blocks.slice(first, end < 0 ? blocks.length : end);
}

async function runOne(block: Block, place: Place): Promise<void> {
  const { language, text, marks } = block;
  if (language === 'json') JSON.parse(text);
  if (marks.file !== null) {
    const path = join(place.cwd, marks.file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, await place.withPorts(text));
  } else if (language === 'sh') {
    await runShell(block, place);
  } else if (language === 'console') {
    expectOutput(whereOf(block), await place.withPorts(text), place.printed);
  } else if (language !== 'json') {
    throw new Error(`${whereOf(block)}: ${language} is run as a file: <!-- run: file NAME -->`);
  }
}

function whereOf({ path, line }: Block): string {
  return `${path}:${line}`;
}
