/**
 * Raft scenarios (test/scenarios/raft/): documentation that runs. Each file tells what a cluster does, line
 * by line, and what came of it (the lines: test/support/raft-script.ts). `REWRITE=1 npm test --
 * raft-scenarios` writes what comes of them now; read the difference before you commit it.
 */
import { ok, strictEqual } from 'node:assert';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isRewriting, ROOT } from './support/project.ts';
import { RaftScript } from './support/raft-script.ts';

const FOLDER = join(ROOT, 'test/scenarios/raft');
const files = readdirSync(FOLDER).sort();

test('raft scenarios: there are at least 40', () => {
  ok(files.length >= 40, `${files.length}`);
});

for (const file of files) {
  test(`raft scenarios: ${file.replace('.txt', '').replaceAll('-', ' ')}`, () => {
    const path = join(FOLDER, file);
    const text = readFileSync(path, 'utf8');
    const said = played(text);
    if (isRewriting) writeFileSync(path, said);
    else strictEqual(said, text);
  });
}

/**
 * The file again, with what its lines bring about. Lines in a row without an outcome between are one step.
 */
function played(text: string): string {
  const script = new RaftScript();
  const said: string[] = [];
  for (const block of text.trimEnd().split(/\n\n+/)) {
    const lines = block.split('\n');
    const end = lines.indexOf('----');
    const asked = end < 0 ? lines : lines.slice(0, end);
    const commands = asked.filter((line) => !line.startsWith('#'));
    if (commands.length === 0) {
      said.push(asked.join('\n'));
      continue;
    }
    const outcome = commands.flatMap((line) => script.run(line));
    said.push([...asked, '----', ...(outcome.length > 0 ? outcome : ['(none)'])].join('\n'));
  }
  return `${said.join('\n\n')}\n`;
}
