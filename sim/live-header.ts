/** What a peer tells the live air first on every connection: eight bytes, a magic number, its station, the port it means. */

const magic = 0x736b6169
export const airHeaderBytes = 8

export function airHeader(station: number, port: number): Uint8Array {
  const bytes = new Uint8Array(airHeaderBytes)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, magic)
  view.setUint16(4, station)
  view.setUint16(6, port)
  return bytes
}

/** Undefined when the bytes are no header. */
export function readAirHeader(bytes: Uint8Array): { readonly station: number; readonly port: number } | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < airHeaderBytes || view.getUint32(0) !== magic) return undefined
  return { station: view.getUint16(4), port: view.getUint16(6) }
}
