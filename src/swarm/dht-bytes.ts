/** Counts what the DHT takes of all connections: bytes of its streams, below which only Yamux's and Noise's are. */

/** What is used of a stream of Yamux. */
export interface CountedStream {
  protocol: string
  onData(data: { readonly byteLength: number }): void
  sendData(data: { readonly byteLength: number }): unknown
}

export class DhtBytes {
  readonly #protocol: string
  bytesIn = 0
  bytesOut = 0

  /** @param protocol the DHT's, as on the wire */
  constructor(protocol: string) {
    this.#protocol = protocol
  }

  /** Counts a new stream, if it turns out to be one of the DHT's; any other is left as it was. */
  count(stream: CountedStream): void {
    const { onData, sendData } = stream
    // What was said before both ends had agreed on the protocol.
    let before = { bytesIn: 0, bytesOut: 0 }
    const add = (bytesIn: number, bytesOut: number): void => {
      if (stream.protocol === '') {
        before = { bytesIn: before.bytesIn + bytesIn, bytesOut: before.bytesOut + bytesOut }
      } else if (stream.protocol === this.#protocol) {
        this.bytesIn += before.bytesIn + bytesIn
        this.bytesOut += before.bytesOut + bytesOut
        before = { bytesIn: 0, bytesOut: 0 }
      } else {
        // Somebody else may have put something before these by now.
        if (stream.onData === countIn) stream.onData = onData
        if (stream.sendData === countOut) stream.sendData = sendData
      }
    }
    const countIn: CountedStream['onData'] = data => {
      add(data.byteLength, 0)
      onData.call(stream, data)
    }
    const countOut: CountedStream['sendData'] = data => {
      add(0, data.byteLength)
      return sendData.call(stream, data)
    }
    stream.onData = countIn
    stream.sendData = countOut
  }
}
