/**
 * The Redis port alone: a server over an ordering that applies each batch in the next turn, to a
 * state that keeps nothing.
 *
 *     node dist/bench/null-server.js [--port PORT]
 *     redis-benchmark -p PORT -t set -d 256 -P 16 -c 50 -r 1000000
 *
 * What this does not reach, no log and no disk will.
 */

import { parseArgs } from 'node:util';
import { systemClock } from '../src/base/time.ts';
import { startRedisServer } from '../src/server/redis-server.ts';
import { NullState } from '../test/support/map-state.ts';
import { MemoryOrdering } from '../test/support/memory-ordering.ts';

const { values } = parseArgs({ options: { port: { type: 'string', default: '6499' } } });
const server = await startRedisServer({
  ordering: new MemoryOrdering({ state: new NullState() }),
  port: Number(values.port),
  clock: systemClock,
});
console.log(`listening on ${server.host}:${server.port}, nothing is kept`);
process.once('SIGINT', () => void server.close());
process.once('SIGTERM', () => void server.close());
