/**
 * A shop, a bad deploy, and the way back.
 *
 *     npm run example rewind
 *
 * Orders come in; then a new program "tidies up" and deletes most of them, while customers go on paying. The
 * node, which serves all the time, is taken back to the second before; every order is checked, and what must
 * not be taken back is still there. The exit code is 0 only if all of it holds.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Node, open } from 'tidemark';
import { type Order, shop } from './machine.js';

const ORDERS = 200;

type ShopNode = typeof shop extends { calls?: { commands: infer C; queries: infer Q } } ? Node<C, Q> : never;

let failures = 0;

function check(what: string, found: string, holds: boolean): void {
  if (!holds) failures++;
  console.log(`   ${holds ? 'ok   ' : 'WRONG'} ${what.padEnd(14)}${found}`);
}

async function listOrders(from: { query: ShopNode['query'] }): Promise<(Order | null)[]> {
  return Promise.all(Array.from({ length: ORDERS }, (_, at) => from.query('order', `order-${at}`)));
}

async function placeOrders(node: ShopNode): Promise<void> {
  for (let at = 0; at < ORDERS; at++) {
    await node.submit('place', { id: `order-${at}`, item: `book ${at}`, price: 10 + at });
    if (at === ORDERS / 2) await node.checkpoint();
  }
  await node.submit('pay', 'order-1');
  console.log(`1. ${ORDERS} orders came in, and the first one is paid.`);
}

/** The new program takes orders below 150 for leftovers. Customers go on. */
async function deployBadly(node: ShopNode): Promise<void> {
  for (let at = 0; at < ORDERS - 50; at++) await node.submit('remove', `order-${at}`);
  await node.submit('pay', 'order-180');
  const left = (await listOrders(node)).filter((order) => order !== null).length;
  console.log(`2. A bad deploy: ${left} orders are left. A customer pays order-180 meanwhile.`);
}

async function lookBack(node: ShopNode, point: string): Promise<void> {
  console.log(`3. The state of "${point}", beside the one that is served:`);
  await using view = await node.at(point);
  const then = (await listOrders(view)).filter((order) => order !== null).length;
  check('view', `entry ${view.index} had ${then} orders`, then === ORDERS);
  const would = await node.rewind(point, { dryRun: true });
  check('dry run', `would add ${would.keysAdded} keys`, would.keysAdded === ORDERS - 50);
}

async function main(dir: string): Promise<void> {
  let node = await open({ machine: shop, dir });
  await placeOrders(node);
  const whole = JSON.stringify(await listOrders(node));
  await sleep(1100);
  const deployedAt = Date.now();
  await deployBadly(node);
  const damaged = await node.root();

  const point = new Date(deployedAt - 1000).toISOString();
  await lookBack(node, point);
  const made = await node.rewind(point);
  console.log(`4. Rewound to entry ${made.index}, by entry ${made.madeBy}. Customers waited`);
  console.log(`   ${made.heldMs.toFixed(1)} ms.`);
  check('orders', `all ${ORDERS} are as they were`, JSON.stringify(await listOrders(node)) === whole);
  check('payments', 'that of order-180 is known', (await node.query('payment', 'order-180')) !== null);
  check('retry', 'it is not taken twice', (await node.submit('pay', 'order-180')) === 'paid before');

  console.log('5. Nothing was cut from history: the bad deploy can still be looked at.');
  await using bad = await node.at(made.fromIndex);
  check('root', (await bad.root()).root.slice(0, 16), (await bad.root()).root === damaged.root);

  const { root } = await node.root();
  await node.close();
  node = await open({ machine: shop, dir });
  console.log('6. After a restart:');
  check('root', root.slice(0, 16), (await node.root()).root === root);
  await node.close();
}

const dir = await mkdtemp(join(tmpdir(), 'tidemark-rewind-'));
try {
  await main(dir);
  console.log(failures === 0 ? 'Nothing else was lost.' : `${failures} checks failed.`);
} finally {
  await rm(dir, { recursive: true, force: true });
}
process.exitCode = failures === 0 ? 0 : 1;
