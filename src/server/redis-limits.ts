/** What the Redis port takes at most unless told otherwise; apart from the port, for who only reads them. */

/** As Redis's maxclients. */
export const CONNECTIONS_MAX_DEFAULT = 10_000;

/** Sixteen replies of the largest size. */
export const OUTPUT_BYTES_MAX_DEFAULT = 256 * 1024 * 1024;

/** Four clients at their own limit. */
export const OUTPUT_TOTAL_BYTES_MAX_DEFAULT = 1024 * 1024 * 1024;

/** Sixteen requests of the largest size. */
export const INPUT_BYTES_MAX_DEFAULT = 1024 * 1024 * 1024;
