/** Bounds of keys and values: the state enforces them, and the formats rely on them. */

/** Longest key: its length fits 16 bits. The empty key is a key like any other. */
export const KEY_BYTES_MAX = 64 * 1024 - 1;

/** Largest value, in bytes: 16 MiB. */
export const VALUE_BYTES_MAX = 16 * 1024 * 1024;
