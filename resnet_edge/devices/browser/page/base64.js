/** Bytes as text, in pieces: one call with all of them would overflow the stack. */

const PIECE = 0x8000;

/**
 * @param {Float32Array | Uint8Array} values All machines with a browser are little-endian.
 * @returns {string} Base64 of their bytes.
 */
export function toBase64(values) {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  let text = "";
  for (let i = 0; i < bytes.length; i += PIECE) {
    text += String.fromCharCode(...bytes.subarray(i, i + PIECE));
  }
  return btoa(text);
}
