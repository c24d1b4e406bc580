//! How requests of peers are answered in a lab.

use super::Lab;
use crate::eventually;
use anyhow::{Result, ensure};
use std::net::IpAddr;

impl Lab {
    /// The status that a request of this peer gets at the first listener.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn status(&self, peer: IpAddr) -> Result<u16> {
        Ok(self.ask(peer).send().await?.status.as_u16())
    }

    /// Waits until a request of this peer gets this status.
    ///
    /// # Errors
    /// When it gets another after [`crate::PATIENCE`].
    pub async fn wait_for_status(&self, peer: IpAddr, expected: u16) -> Result<()> {
        eventually(async || {
            let status = self.status(peer).await?;
            ensure!(status == expected, "{peer} gets {status}");
            Ok(())
        })
        .await
    }
}
