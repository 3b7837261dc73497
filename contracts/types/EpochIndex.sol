// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @dev Position of an epoch within one agreement, from 0.
type EpochIndex is uint32;
