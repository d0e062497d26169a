/**
 * The Redis port under malformed input (test/support/port-fuzz.ts). Goal: no input stops the server, makes it
 * hang, or lets its memory grow. `npm run fuzz` sends a million of them.
 */
import { ok } from 'node:assert';
import { test } from 'node:test';
import { fuzzPort } from './support/port-fuzz.ts';
import { seedOf } from './support/seed.ts';

test('redis fuzz: 100,000 malformed inputs leave the server as it was', async (t) => {
  const seed = seedOf(t);
  const tally = await fuzzPort(100_000, seed);
  t.diagnostic(JSON.stringify(tally));
  ok(tally.closed > 0 && tally.closed < tally.clients, 'some inputs close a client, and not all do');
});
