/** A node with its Redis port, all in memory, for tests that speak to it as a client does. */

import type { Clock } from '../../src/base/time.ts';
import type { CheckpointOptions } from '../../src/checkpoint/checkpoint-options.ts';
import type { DurabilityChoice } from '../../src/log/durability.ts';
import { open } from '../../src/node/open.ts';
import type { ServedCheckpoints } from '../../src/server/connection-command.ts';
import { nodeInfo } from '../../src/server/node-info.ts';
import { startRedisServer } from '../../src/server/redis-server.ts';
import { MemoryNetwork, type MemoryPeer } from '../../src/testing/memory-network.ts';

/** Turns of the event loop after which a reply is late: the node answers within a few. */
const TURNS_MAX = 100_000;

export interface PortOptions {
  readonly clock?: Clock;
  readonly password?: string;
  readonly segmentBytes?: number;
  readonly durability?: DurabilityChoice;
  readonly checkpoint?: CheckpointOptions;
}

/** Opens a node, lets `run` use its port, and closes both. */
export async function withPort<Result>(
  run: (port: Port) => Promise<Result>,
  options: PortOptions = {},
): Promise<Result> {
  const { clock, segmentBytes, durability = 'synced', checkpoint = {}, ...server } = options;
  const node = await open({
    dir: 'memory:',
    durability,
    checkpoint,
    log: segmentBytes === undefined ? {} : { segmentBytes },
    doors: clock === undefined ? {} : { clock },
  });
  const network = new MemoryNetwork();
  const listening = await startRedisServer({
    ...server,
    ...(clock === undefined ? {} : { clock }),
    ordering: node.ordering,
    port: 1,
    listen: network.listen,
    info: () => nodeInfo(node),
    log: node,
    hold: () => node.hold(),
  });
  const port = new Port(network, node);
  try {
    return await run(port);
  } finally {
    port.closeClients();
    await listening.close();
    await node.close();
  }
}

type KeyValueNode = Awaited<ReturnType<typeof open>>;

export class Port {
  readonly node: KeyValueNode;
  readonly #network: MemoryNetwork;
  readonly #clients = new Set<Client>();

  constructor(network: MemoryNetwork, node: KeyValueNode) {
    this.#network = network;
    this.node = node;
  }

  connect(): Client {
    const client = new Client(this.#network.connect(), () => this.#clients.delete(client));
    this.#clients.add(client);
    return client;
  }

  closeClients(): void {
    for (const client of this.#clients) client.close();
  }
}

/** One client, which asks one thing after the other. */
export class Client {
  readonly #peer: MemoryPeer;
  readonly #onClose: () => void;
  #received = '';

  constructor(peer: MemoryPeer, onClose: () => void) {
    this.#peer = peer;
    this.#onClose = onClose;
  }

  get isClosed(): boolean {
    return this.#peer.isClosed;
  }

  send(bytes: Uint8Array): void {
    this.#peer.send(bytes);
  }

  /** The bytes of the reply, as latin1. */
  async ask(frame: Uint8Array): Promise<string> {
    this.#peer.send(frame);
    return this.reply();
  }

  /** The next reply; what came before the connection closed when there is no whole one. */
  async reply(): Promise<string> {
    for (let turns = 0; turns < TURNS_MAX; turns++) {
      this.#received += Buffer.from(this.#peer.receive()).toString('latin1');
      const end = replyEnd(this.#received, 0);
      if (end !== null || this.#peer.isClosed) {
        const reply = this.#received.slice(0, end ?? undefined);
        this.#received = this.#received.slice(reply.length);
        return reply;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    throw new Error(`no reply, but ${JSON.stringify(this.#received.slice(0, 200))}`);
  }

  close(): void {
    this.#onClose();
    if (!this.#peer.isClosed) this.#peer.close();
  }
}

/** Where the RESP2 reply that begins at `at` ends; null when it is not whole. */
export function replyEnd(text: string, at: number): number | null {
  const lineEnd = text.indexOf('\r\n', at);
  if (lineEnd < 0) return null;
  const type = text[at];
  const number = Number(text.slice(at + 1, lineEnd));
  if (type === '$' && number >= 0) {
    const end = lineEnd + 2 + number + 2;
    return end <= text.length ? end : null;
  }
  let end = lineEnd + 2;
  if (type !== '*') return end;
  for (let item = 0; item < number; item++) {
    const itemEnd = replyEnd(text, end);
    if (itemEnd === null) return null;
    end = itemEnd;
  }
  return end;
}

/** Checkpoints that end when told to; none is there to tell of. */
export function manualCheckpoints() {
  type Taken = Readonly<Record<string, string | number>>;
  const runs: { resolve: (taken: Taken) => void; reject: (error: unknown) => void }[] = [];
  const checkpoints = {
    lastTakenAt: 1_700_000_000_999,
    get isTaking() {
      return runs.length > 0;
    },
    take: () => new Promise<Taken>((resolve, reject) => runs.push({ resolve, reject })),
    list: () => [],
    tags: () => [],
    tag: async () => 0,
    untag: async () => false,
    prune: async () => ({ removed: [], bytesFreed: 0, obstacle: null }),
    runs,
  };
  return checkpoints satisfies ServedCheckpoints;
}
