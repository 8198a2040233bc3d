/**
 * Noise for figures that leave the swarm: the discrete Laplace distribution, drawn exactly, from whole random numbers alone (Canonne, Kamath and Steinke,
 * "The Discrete Gaussian for Differential Privacy", 2020, algorithms 1 and 2). A sampler over floating point leaves gaps in its results that tell what was
 * added (Mironov, "On Significance of the Least Significant Bits For Differential Privacy", 2012): here there is none. Pure.
 */

/** A whole number from 0 to below `max`, each as likely: from a generator that nobody can foresee. */
export type Below = (max: number) => number

/** Whether something of probability exp(-a/b) happens, for 0 ≤ a ≤ b: exactly. */
function happensExp(a: number, b: number, below: Below): boolean {
  let k = 1
  // Each round goes on with a/(bk): the number of the last one is odd so often.
  while (below(b * k) < a) k++
  return k % 2 === 1
}

/**
 * A whole number x with a probability proportional to exp(-|x| · s / t).
 *
 * @param scale t/s, of whole numbers from 1: sensitivity over epsilon
 */
export function discreteLaplace({ t, s }: { readonly t: number; readonly s: number }, below: Below): number {
  for (;;) {
    const u = below(t)
    if (!happensExp(u, t, below)) continue
    let v = 0
    while (happensExp(1, 1, below)) v++
    const size = Math.floor((u + t * v) / s)
    const isNegative = below(2) === 1
    // There is one zero, not two.
    if (isNegative && size === 0) continue
    return isNegative ? -size : size
  }
}
