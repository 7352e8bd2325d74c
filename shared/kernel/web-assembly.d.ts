// What this project uses of WebAssembly: Node's types leave it to the DOM's, which would bring a browser's globals.
declare namespace WebAssembly {
  class Module {
    constructor(bytes: Uint8Array)
  }
  class Instance {
    readonly exports: unknown
    constructor(module: Module, imports: Record<string, Record<string, unknown>>)
  }
  class Memory {
    readonly buffer: SharedArrayBuffer
    /** Adds pages of 64 KiB; returns how many there were. */
    grow(pages: number): number
    constructor(descriptor: { initial: number; maximum: number; shared: true })
  }
}
