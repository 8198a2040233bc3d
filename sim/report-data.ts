/** What a report is made of. */
import type { Sample, Summary } from './stats.ts'

/** Everything that the page shows. */
export interface ReportData {
  readonly summary: Summary
  readonly scenario: {
    readonly name: string
    readonly about: string
    readonly area: { readonly widthM: number; readonly heightM: number }
    readonly rangeM: number
    readonly zones: readonly {
      readonly x: number
      readonly y: number
      readonly radiusM: number
      readonly fromS: number
      readonly untilS: number
      readonly dx: number
      readonly dy: number
    }[]
  }
  readonly peers: readonly { readonly name: string; readonly group: string }[]
  readonly layers: number
  /** Bytes per directed link, the busiest first. */
  readonly links: readonly { readonly from: number; readonly to: number; readonly bytes: number }[]
  /** When answers went on after a loss, and the pause, in ms. */
  readonly recoveries: readonly (readonly [number, number])[]
  /** What went wrong when. */
  readonly marks: readonly { readonly atMs: number; readonly text: string }[]
  readonly samples: readonly Sample[]
}
