export {
  type Chains,
  type HamiltonianOptions,
  hamiltonianMonteCarlo,
  type Jump,
  type LogDensity,
  type LogDensityAt,
} from "./hamiltonian.ts";
