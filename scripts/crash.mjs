/**
 * `npm run crash`: kills a real server under load, round after round, and checks what it promised.
 *
 *     npm run crash                              200 rounds, a seed of their own
 *     npm run crash -- --rounds 20 --seed 7      fewer, with the choices of an earlier run
 *     npm run crash -- --durability buffered     the server acknowledges what it has written
 *     npm run crash -- --json                    the figures as one JSON document
 *
 * Exit code 0 when nothing was lost, applied twice or otherwise wrong. After a failure the data directory is
 * kept, and named.
 */

import { parseArgs } from 'node:util';
import { setUp } from './setup.mjs';

const ROUNDS_DEFAULT = '200';

process.exitCode = await crash();

async function crash() {
  const options = readOptions();
  if (options === null) return 1;
  if (!(await setUp())) return 1;
  const { describeSummary, runKillNine } = await import('../dist/test/crash/kill-nine.js');
  const { rounds, seed, durability, json } = options;
  const print = json ? console.error : console.log;
  print(`killing a ${durability} server ${rounds} times, with seed ${seed}`);
  const summary = await runKillNine({ rounds, seed, durability, print });
  if (json) console.log(JSON.stringify(summary, null, 2));
  else console.log(['', ...describeSummary(summary)].join('\n'));
  return summary.failure === null ? 0 : 1;
}

function readOptions() {
  try {
    const { values } = parseArgs({
      options: {
        rounds: { type: 'string', default: ROUNDS_DEFAULT },
        seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
        durability: { type: 'string', default: 'synced' },
        json: { type: 'boolean', default: false },
      },
    });
    const { durability } = values;
    if (durability !== 'synced' && durability !== 'buffered')
      throw new Error(`--durability is synced or buffered, not ${durability}`);
    return {
      rounds: wholeNumber('rounds', values.rounds),
      seed: wholeNumber('seed', values.seed),
      durability,
      json: values.json,
    };
  } catch (error) {
    console.error(
      `tidemark: ${error.message}\nUsage: npm run crash -- [--rounds N] [--seed S] [--durability D] [--json]`,
    );
    return null;
  }
}

function wholeNumber(name, text) {
  if (!/^\d{1,10}$/.test(text)) throw new Error(`--${name} takes a whole number, not ${text}`);
  return Number(text);
}
