//! One way to change a configuration: each has `Default`, public fields, and for each field a method of
//! its name that sets it and gives the configuration back.

use std::time::Duration;

#[cfg(feature = "deflate")]
use crate::DeflatePool;
use crate::{CloseFrame, Config, ControlRate, DeflateConfig, handshake::HeadLimits};

macro_rules! setters {
    ($config:ty { $($field:ident: $value:ty),+ $(,)? }) => {
        impl $config {$(
            #[doc = concat!("Sets the field `", stringify!($field), "`.")]
            #[must_use]
            pub fn $field(mut self, $field: $value) -> Self {
                self.$field = $field.into();
                self
            }
        )+}
    };
}

setters!(Config {
    message_bytes_max: usize,
    frame_bytes_max: usize,
    fragments_max: u32,
    send_frame_bytes_max: usize,
    deflate: impl Into<Option<DeflateConfig>>,
    send_queue_bytes_max: usize,
    control_queue_bytes_max: usize,
    answer_pings: bool,
    control_rate: impl Into<Option<ControlRate>>,
    message_timeout: impl Into<Option<Duration>>,
    ping_interval: impl Into<Option<Duration>>,
    pong_timeout: Duration,
    silence: CloseFrame,
    close_timeout: Duration,
});

#[cfg(feature = "deflate")]
setters!(DeflateConfig {
    level: u8,
    window_bits: u8,
    peer_window_bits: u8,
    context_takeover: bool,
    peer_context_takeover: bool,
    threshold: usize,
    ratio_max: u32,
    ratio_floor: usize,
    memory_level: u8,
    pool: DeflatePool,
});

setters!(HeadLimits {
    bytes_max: usize,
    fields_max: usize,
});

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::Config;
    #[cfg(feature = "deflate")]
    use crate::DeflateConfig;

    #[test]
    fn a_configuration_is_made_by_value_in_one_expression() {
        let config = Config::default()
            .message_bytes_max(1 << 10)
            .ping_interval(Duration::from_secs(5))
            .control_rate(None);
        assert_eq!(config.message_bytes_max, 1024);
        assert_eq!(config.ping_interval, Some(Duration::from_secs(5)));
        assert_eq!(config.control_rate, None);
        #[cfg(feature = "deflate")]
        let config = config.deflate(DeflateConfig::default().level(3));
        #[cfg(feature = "deflate")]
        assert_eq!(config.deflate.map(|deflate| deflate.level), Some(3));
    }
}
