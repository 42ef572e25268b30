// Package sim runs the hub, its clients and its disk in one bubble of testing/synctest, from a seed, and compares what
// clients get with a model of what they may and must get. docs/simulation.md says how to run and replay it.
//
//	TestSeeds ─► a process for each seed: TestWorld
//	               driver: one action after the other ─► hub (conn, core, store) on internal/sim's disk
//	                                                  └► clients over internal/sim's network ─► model: checks
//
// All of it is in test files.
package sim
