/** A certificate authority for a test run, and certificates of it for replicas under TLS. */

import { generate } from 'selfsigned';
import type { PeerTls } from '../../src/network/peer-options.ts';

/** Elliptic keys: made in milliseconds. */
const KEYS = { keyType: 'ec', algorithm: 'sha256' } as const;

const URI = 6;
const DNS = 2;

/** Signs for its own cluster, or for any other if asked. */
export class Authority {
  readonly #pem: { readonly key: string; readonly cert: string };

  private constructor(pem: { readonly key: string; readonly cert: string }) {
    this.#pem = pem;
  }

  static async create(): Promise<Authority> {
    const made = await generate([{ name: 'commonName', value: 'authority of a test' }], {
      ...KEYS,
      extensions: [
        { name: 'basicConstraints', cA: true, critical: true },
        { name: 'keyUsage', keyCertSign: true, critical: true },
      ],
    });
    return new Authority({ key: made.private, cert: made.cert });
  }

  /** A certificate with one name, `URI:…` or `DNS:…`. */
  async issue(name: string, dates: { notBeforeDate?: Date; notAfterDate?: Date } = {}): Promise<PeerTls> {
    const [, kind, value] = /^(URI|DNS):(.*)$/s.exec(name)!;
    const made = await generate([{ name: 'commonName', value: 'replica' }], {
      ...KEYS,
      ...dates,
      ca: this.#pem,
      extensions: [
        { name: 'basicConstraints', cA: false },
        { name: 'extKeyUsage', serverAuth: true, clientAuth: true },
        { name: 'subjectAltName', altNames: [{ type: kind === 'URI' ? URI : DNS, value: value! }] },
      ],
    });
    return { ca: this.#pem.cert, cert: made.cert, key: made.private };
  }
}
