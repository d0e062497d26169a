/**
 * A package registry on this machine, with the packages of node_modules in the versions that are there: what
 * `npm install` in a document gets, without a network. Tarballs are made when somebody asks.
 */

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { ROOT } from '../support/project.ts';

const TARBALL = '/-/package.tar';

export class Registry {
  readonly url: string;
  readonly #server: Server;

  static async start(): Promise<Registry> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Registry(server);
  }

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    server.on('request', (request, response) => {
      const path = decodeURIComponent(request.url ?? '/');
      const name = path.slice(1).replace(TARBALL, '');
      const dir = join(ROOT, 'node_modules', name);
      if (!existsSync(join(dir, 'package.json'))) notFound(response, name);
      else if (path.endsWith(TARBALL)) sendTarball(response, dir);
      else this.#describe(response, dir);
    });
  }

  stop(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(() => resolve()));
  }

  #describe(response: ServerResponse, dir: string): void {
    const manifest = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8')) as {
      name: string;
      version: string;
    };
    const { name, version } = manifest;
    const dist = { tarball: `${this.url}${name}${TARBALL}` };
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({
        name,
        'dist-tags': { latest: version },
        versions: { [version]: { ...manifest, dist } },
      }),
    );
  }
}

function notFound(response: ServerResponse, name: string): void {
  response.statusCode = 404;
  response.end(JSON.stringify({ error: `${name} is not installed in this checkout` }));
}

/** The first folder of a package's tarball may have any name. */
function sendTarball(response: ServerResponse, dir: string): void {
  const tar = spawn('tar', ['-cf', '-', '-C', dirname(dir), basename(dir)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  tar.stdout.pipe(response);
}
