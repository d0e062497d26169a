/**
 * The HTTP port: what a monitor wants to know of a node. It answers from before the recovery until the node
 * has stopped, and takes nothing: no bodies, no other methods than GET and HEAD.
 *
 *     /metrics        Prometheus text
 *     /health/live    200 while the process answers
 *     /health/ready   200 while commands are taken, else 503 with the reason
 *     /status         what TIDEMARK STATUS tells, as JSON; 503 until there is a node
 */

import { requireInteger, requireKnownOptions } from '../base/options.ts';
import type { Listener } from '../network/connection.ts';
import { type HttpReply, type HttpRequest, type ListenHttp, listenHttp } from '../network/http.ts';
import type { RecoveryProgress } from '../node/assemble.ts';
import type { NodeDistributions } from '../node/distributions.ts';
import type { NodeFigures } from './metric-definitions.ts';
import { METRICS_CONTENT_TYPE, Metrics } from './metrics.ts';
import { type InformedNode, nodeInfo } from './node-info.ts';
import type { RedisServer } from './redis-server.ts';
import { statusOf } from './status.ts';

/** Where the port for monitors listens. */
export interface HttpServerOptions {
  /** @default '127.0.0.1' */
  readonly host?: string;
  /** 0 lets the operating system choose. */
  readonly port: number;
  readonly listen?: ListenHttp;
}

/** A node, as far as it is watched. */
export interface WatchedNode extends InformedNode {
  readonly isStopping: boolean;
  readonly distributions: NodeDistributions;
}

/** A Redis port, as far as it is watched. */
export type WatchedServer = Pick<RedisServer, 'info' | 'clients'>;

interface Watched {
  readonly node: WatchedNode;
  readonly server: WatchedServer | null;
}

/** Whether commands are taken; if not, why: `refusing` passes by itself, with space on the disk. */
type Readiness =
  | { readonly ready: true }
  | { readonly ready: false; readonly reason: 'starting' | 'stopping' }
  | ({ readonly ready: false; readonly reason: 'recovering' } & RecoveryProgress)
  | { readonly ready: false; readonly reason: 'refusing'; readonly message: string };

/** Listens, and resolves when monitors can ask. Rejects with TIDEMARK_ADDRESS_UNAVAILABLE. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  requireKnownOptions('startHttpServer', options, { host: 0, port: 0, listen: 0 });
  requireInteger('port', options.port, 0, 65_535);
  const { host = '127.0.0.1', port, listen = listenHttp } = options;
  const server = new HttpServer();
  server.listening(await listen({ host, port, answer: (request) => server.answer(request) }));
  return server;
}

/** A port for monitors that listens; made by `startHttpServer`. */
export class HttpServer {
  readonly #metrics = new Metrics();
  readonly #routes = new Map<string, () => HttpReply | Promise<HttpReply>>([
    ['/metrics', () => this.#tellMetrics()],
    ['/health/live', () => json(200, { live: true })],
    ['/health/ready', () => this.#tellReadiness()],
    ['/status', () => this.#tellStatus()],
  ]);
  #listener: Listener | null = null;
  #progress: RecoveryProgress | null = null;
  #watched: Watched | null = null;
  #isStopping = false;
  /** What is being written for whoever asked; null when nobody waits. */
  #metricsText: Promise<string> | null = null;

  get host(): string {
    return this.#listener?.host ?? '';
  }

  get port(): number {
    return this.#listener?.port ?? 0;
  }

  listening(listener: Listener): void {
    this.#listener = listener;
  }

  /** While there is no node yet: how far it is. */
  recovering(progress: RecoveryProgress): void {
    this.#progress = progress;
  }

  /**
   * Commands are taken from now on.
   * @param server The node's Redis port, if it has one.
   */
  watch(node: WatchedNode, server: WatchedServer | null = null): void {
    this.#watched = { node, server };
  }

  /** Commands are not taken any more, even if the node does not know yet. */
  stopping(): void {
    this.#isStopping = true;
  }

  /** Cuts who is connected: a monitor asks again. */
  async close(): Promise<void> {
    await this.#listener?.close();
  }

  /** Never rejects: what a monitor asks stops no node. */
  async answer({ method, path }: HttpRequest): Promise<HttpReply> {
    const route = this.#routes.get(path);
    if (route === undefined) {
      return json(404, { error: 'there is no such path', paths: [...this.#routes.keys()] });
    }
    if (method !== 'GET' && method !== 'HEAD') {
      const refusal = json(405, { error: 'only GET and HEAD are answered' });
      return { ...refusal, headers: { ...refusal.headers, allow: 'GET, HEAD' } };
    }
    try {
      return await route();
    } catch (error) {
      return json(500, { error: error instanceof Error ? error.message : String(error) });
    }
  }

  get #readiness(): Readiness {
    if (this.#isStopping) return { ready: false, reason: 'stopping' };
    if (this.#watched === null) {
      if (this.#progress === null) return { ready: false, reason: 'starting' };
      return { ready: false, reason: 'recovering', ...this.#progress };
    }
    const { node } = this.#watched;
    if (node.isStopping) return { ready: false, reason: 'stopping' };
    const { refusal } = node.stats();
    if (refusal !== null) return { ready: false, reason: 'refusing', message: refusal };
    return { ready: true };
  }

  #tellReadiness(): HttpReply {
    const readiness = this.#readiness;
    return json(readiness.ready ? 200 : 503, readiness);
  }

  #tellStatus(): HttpReply {
    if (this.#watched === null) return this.#tellReadiness();
    const { node, server } = this.#watched;
    return json(200, statusOf(server?.info() ?? nodeInfo(node)));
  }

  /** All who ask in one turn get the same: a pipeline of requests costs no more than one. */
  async #tellMetrics(): Promise<HttpReply> {
    this.#metricsText ??= this.#writeMetrics().finally(() => {
      this.#metricsText = null;
    });
    const body = await this.#metricsText;
    return { status: 200, headers: headersOf(METRICS_CONTENT_TYPE), body };
  }

  async #writeMetrics(): Promise<string> {
    return this.#metrics.text({
      isReady: this.#readiness.ready,
      node: this.#watched && figuresOf(this.#watched.node),
      clients: this.#watched?.server?.clients ?? null,
    });
  }
}

function figuresOf(node: WatchedNode): NodeFigures {
  const { distributions, recovery, lastCheckpointAt } = node;
  return { stats: node.stats(), distributions, recovery, lastCheckpointAt };
}

function json(status: number, value: object): HttpReply {
  return { status, headers: headersOf('application/json'), body: `${JSON.stringify(value)}\n` };
}

/** Answers are of this moment; a browser that is led here shall not take them for anything else. */
function headersOf(contentType: string): Record<string, string> {
  return { 'content-type': contentType, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' };
}
