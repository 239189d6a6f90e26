//! Debian archives: releases that never mix, indexes and packages.
