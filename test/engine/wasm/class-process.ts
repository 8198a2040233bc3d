/** Prints the classes that this very machine computes, by trial, in each form of the kernels that it can run. */
import { classesHere } from './classes.ts'

console.log(JSON.stringify({ arch: process.arch, classes: classesHere() }))
