/** `tidemark/http`: the HTTP port of a node, with metrics for Prometheus, health and status. */

export type { Listener } from '../network/connection.ts';
export type { HttpListenOptions, HttpReply, HttpRequest, ListenHttp } from '../network/http.ts';
export {
  type HttpServer,
  type HttpServerOptions,
  startHttpServer,
  type WatchedNode,
  type WatchedServer,
} from './http-server.ts';
