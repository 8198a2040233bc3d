/** What the engine uses of WebAssembly's JavaScript interface: TypeScript has it with a browser's types only. */

interface WebAssemblyMemory {
  /** A SharedArrayBuffer where several threads use it. */
  readonly buffer: ArrayBuffer
  /** @returns the length before, in pages of 64 KiB. @throws {RangeError} when there is no more. */
  grow(pages: number): number
}

interface WebAssemblyModule {
  readonly [Symbol.toStringTag]: 'WebAssembly.Module'
}

declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number; shared?: boolean }) => WebAssemblyMemory
  readonly Module: new (bytes: Uint8Array) => WebAssemblyModule
  readonly Instance: new (
    module: WebAssemblyModule,
    imports: Record<string, Record<string, unknown>>
  ) => { readonly exports: Record<string, unknown> }
  validate(bytes: Uint8Array): boolean
}
