/**
 * The documents run: every code block of every document does what the document says (test/docs/blocks.ts says
 * how). `npm run docs` runs them alone.
 */

import { ok } from 'node:assert';
import { after, before, suite, test } from 'node:test';
import { blocksOf, groupsOf } from './docs/blocks.ts';
import { runGroup } from './docs/run-group.ts';
import { Surroundings } from './docs/surroundings.ts';
import { projectFiles } from './support/project.ts';

/** Blocks that do not run. Each says why; that there are few is what makes the others worth something. */
const NEVER_MAX = 3;

/** Blocks mostly wait: for npm, for a server, for a disk. */
const AT_A_TIME = 3;

const documents = projectFiles(/^([A-Z]+|docs\/.*)\.md$/);

test('docs: blocks that never run are few, and say why', (t) => {
  const blocks = documents.flatMap(blocksOf).filter(({ language }) => language !== 'text');
  const never = blocks.filter(({ marks }) => marks.never !== null);
  t.diagnostic(`${blocks.length - never.length} blocks run, ${never.length} never do`);
  for (const { path, line, marks } of never) t.diagnostic(`${path}:${line} never runs: ${marks.never}`);
  ok(never.length <= NEVER_MAX, `${never.length} blocks never run`);
});

suite('docs', { concurrency: AT_A_TIME }, () => {
  let surroundings: Surroundings;
  before(async () => {
    surroundings = await Surroundings.make();
  });
  after(() => surroundings.remove());
  for (const group of documents.flatMap(groupsOf)) {
    test(`docs: ${group.name}`, () => runGroup(group, surroundings));
  }
});
