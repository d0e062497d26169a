/**
 * `npm run redis-tests`: Redis's own tests, in external mode, against a server of ours.
 *
 *     npm run redis-tests -- ~/redis             a source tree of Redis 7.0, which is not fetched for you
 *     npm run redis-tests -- ~/redis --json      the figures as one JSON document
 *     npm run redis-tests -- ~/redis --unit unit/expire
 *
 * Needs tclsh 8.5 or newer. Left out are tests of replication, of DEBUG and of memory limits (by their tags).
 * What fails for a type that the port does not claim (docs/redis.md) is counted apart. Exit code 0 when of
 * the others 95 % pass.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { setUp } from './setup.mjs';

const UNITS = [
  'unit/type/string',
  'unit/type/hash',
  'unit/expire',
  'unit/scan',
  'unit/keyspace',
  'unit/multi',
  'unit/bitops',
];

const DENIED_TAGS = '-needs:repl -needs:debug -needs:config-maxmemory';

/** One unit: tens of seconds. */
const UNIT_MS_MAX = 300_000;

const SHARE_WANTED = 0.95;

/** Commands of types that the port does not claim, and DUMP: what their first use says. */
const UNCLAIMED =
  /command '([lr]push|sadd|zadd|xadd|xgroup|sort|bitfield|dump)'|CONFIG SET - 'lua-time-limit'/i;

/** It fails only because an earlier part of the same test used DUMP. */
const UNCLAIMED_FOLLOWING = /^"dump": no such variable/;

process.exitCode = await main();

async function main() {
  const options = readOptions();
  if (options === null) return 1;
  if (!(await setUp())) return 1;
  const server = await startServer();
  try {
    const results = [];
    for (const unit of options.units) {
      if (!options.json) console.log(`${unit} …`);
      results.push(await runUnit(options.tree, server.port, unit));
    }
    return report(results, options.json);
  } finally {
    server.child.kill('SIGTERM');
    await once(server.child, 'exit');
  }
}

function readOptions() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        unit: { type: 'string', multiple: true, default: UNITS },
        json: { type: 'boolean', default: false },
      },
    });
    const [tree] = positionals;
    if (tree === undefined || !existsSync(join(tree, 'tests/test_helper.tcl'))) {
      throw new Error('name a source tree of Redis 7.0: a directory with tests/test_helper.tcl in it');
    }
    return { tree, units: values.unit, json: values.json };
  } catch (error) {
    console.error(`tidemark: ${error.message}\nUsage: npm run redis-tests -- PATH [--unit NAME] [--json]`);
    return null;
  }
}

async function startServer() {
  const words = ['bin/tidemark.mjs', 'start', '--dir', 'memory:', '--port', '0', '--json'];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { child, port: JSON.parse(line).port };
}

async function runUnit(tree, port, unit) {
  const words = ['tests/test_helper.tcl', '--host', '127.0.0.1', '--port', String(port), '--singledb'];
  words.push('--ignore-encoding', '--ignore-digest', '--durable', '--tags', DENIED_TAGS, '--single', unit);
  const child = spawn('tclsh', words, {
    cwd: tree,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: UNIT_MS_MAX,
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part) => {
    text += part;
  });
  const [code] = await once(child, 'close');
  return {
    unit,
    isWhole: code === 0 || /^\[err\]/m.test(withoutColours(text)),
    ...judge(withoutColours(text)),
  };
}

function withoutColours(text) {
  return text.replaceAll(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g'), '');
}

function judge(text) {
  const passed = [...text.matchAll(/^\[ok\]: /gm)].length;
  const errors = [...text.matchAll(/^\[(?:err|exception)\]: ([^\n]*)\n((?:(?!\[\w+\]: )[^\n]*\n)*)/gm)];
  const failures = errors.map(([, name, details]) => ({
    name: name.trim(),
    details: details.trim().split('\n')[0],
  }));
  const isUnclaimed = ({ details }) => UNCLAIMED.test(details) || UNCLAIMED_FOLLOWING.test(details);
  return {
    passed,
    unclaimed: failures.filter(isUnclaimed),
    failed: failures.filter((failure) => !isUnclaimed(failure)),
  };
}

function report(results, isJson) {
  const passed = results.reduce((sum, each) => sum + each.passed, 0);
  const failed = results.reduce((sum, each) => sum + each.failed.length, 0);
  const unclaimed = results.reduce((sum, each) => sum + each.unclaimed.length, 0);
  const share = passed / (passed + failed);
  if (isJson) {
    console.log(JSON.stringify({ passed, failed, unclaimed, share, results }, null, 2));
  } else {
    for (const each of results) describe(each);
    console.log(`\n${passed} passed, ${failed} failed (${(100 * share).toFixed(1)} % passed)`);
    console.log(`${unclaimed} more need types or commands that this port does not claim`);
  }
  return share >= SHARE_WANTED && results.every(({ isWhole }) => isWhole) ? 0 : 1;
}

function describe({ unit, passed, failed, unclaimed, isWhole }) {
  const end = isWhole ? '' : '; it did not come to its end';
  console.log(
    `\n${unit}: ${passed} passed, ${failed.length} failed, ${unclaimed.length} of what is not claimed${end}`,
  );
  for (const { name, details } of failed) console.log(`  failed: ${name}\n    ${details}`);
  for (const { name } of unclaimed) console.log(`  not claimed: ${name}`);
}
