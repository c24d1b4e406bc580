//! Numbers and names of the proxy-wasm ABI, as <https://github.com/proxy-wasm/spec/tree/main/abi-versions> lists them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The version of the ABI that a module speaks, told by the marker that it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AbiVersion {
    /// `proxy_abi_version_0_1_0`
    #[serde(rename = "0.1.0")]
    V0_1_0,
    /// `proxy_abi_version_0_2_0`
    #[serde(rename = "0.2.0")]
    V0_2_0,
    /// `proxy_abi_version_0_2_1`
    #[serde(rename = "0.2.1")]
    V0_2_1,
}

impl AbiVersion {
    /// All versions, oldest first.
    pub const ALL: [AbiVersion; 3] = [AbiVersion::V0_1_0, AbiVersion::V0_2_0, AbiVersion::V0_2_1];

    /// The export that marks a module as one of this version.
    pub fn marker(self) -> &'static str {
        match self {
            AbiVersion::V0_1_0 => "proxy_abi_version_0_1_0",
            AbiVersion::V0_2_0 => "proxy_abi_version_0_2_0",
            AbiVersion::V0_2_1 => "proxy_abi_version_0_2_1",
        }
    }
}

impl fmt::Display for AbiVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            AbiVersion::V0_1_0 => "0.1.0",
            AbiVersion::V0_2_0 => "0.2.0",
            AbiVersion::V0_2_1 => "0.2.1",
        })
    }
}

macro_rules! numbers {
    ($(#[$outer:meta])* $name:ident { $($(#[$inner:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$inner])* $variant = $number,)* }

        impl $name {
            /// The one with this number.
            pub fn from_number(number: u32) -> Option<$name> {
                match number { $($number => Some($name::$variant),)* _ => None }
            }
        }
    };
}

numbers! {
    /// What a host call returns.
    Status {
        /// It did what was asked.
        Ok = 0,
        /// There is no such thing.
        NotFound = 1,
        /// An argument is out of range, or not for this phase.
        BadArgument = 2,
        /// A value has no form as bytes.
        SerializationFailure = 3,
        /// Bytes could not be read.
        ParseFailure = 4,
        /// A pointer leads outside the module's memory, or its allocator gave nothing.
        InvalidMemoryAccess = 6,
        /// The queue is empty.
        Empty = 7,
        /// The value was written by somebody else since it was read.
        CasMismatch = 8,
        /// The proxy could not do it.
        InternalFailure = 10,
        /// What `proxy_get_status` says after a callout that was reset.
        BrokenConnection = 11,
        /// The proxy cannot do this at all.
        Unimplemented = 12,
    }
}

numbers! {
    /// Header and trailer maps.
    MapType {
        /// Headers of the downstream request.
        RequestHeaders = 0,
        /// Trailers of the downstream request.
        RequestTrailers = 1,
        /// Headers of the response to the downstream.
        ResponseHeaders = 2,
        /// Trailers of the response to the downstream.
        ResponseTrailers = 3,
        /// Initial metadata of a gRPC callout.
        GrpcReceiveInitialMetadata = 4,
        /// Trailing metadata of a gRPC callout.
        GrpcReceiveTrailingMetadata = 5,
        /// Headers of an HTTP callout's response.
        HttpCallResponseHeaders = 6,
        /// Trailers of an HTTP callout's response.
        HttpCallResponseTrailers = 7,
    }
}

numbers! {
    /// Buffers.
    BufferType {
        /// Body of the downstream request.
        HttpRequestBody = 0,
        /// Body of the response to the downstream.
        HttpResponseBody = 1,
        /// Bytes from a TCP client.
        NetworkDownstreamData = 2,
        /// Bytes from a TCP upstream.
        NetworkUpstreamData = 3,
        /// Body of an HTTP callout's response.
        HttpCallResponseBody = 4,
        /// A message of a gRPC callout.
        GrpcReceiveBuffer = 5,
        /// Configuration of the VM.
        VmConfiguration = 6,
        /// Configuration of the plugin.
        PluginConfiguration = 7,
        /// What a foreign call brought.
        CallData = 8,
    }
}

numbers! {
    /// Streams that can be continued and closed.
    StreamType {
        /// The request of an HTTP stream.
        Request = 0,
        /// The response of an HTTP stream.
        Response = 1,
        /// A TCP connection with a client.
        Downstream = 2,
        /// A TCP connection with an upstream.
        Upstream = 3,
    }
}

numbers! {
    /// Levels of log lines.
    LogLevel {
        /// The finest.
        Trace = 0,
        /// For developers.
        Debug = 1,
        /// For operators.
        Info = 2,
        /// Something is not as it should be.
        Warn = 3,
        /// Something went wrong.
        Error = 4,
        /// It cannot go on.
        Critical = 5,
    }
}

numbers! {
    /// Kinds of metrics.
    MetricType {
        /// Only grows.
        Counter = 0,
        /// Grows and shrinks.
        Gauge = 1,
        /// A distribution of values.
        Histogram = 2,
    }
}

numbers! {
    /// How a TCP peer closed.
    CloseType {
        /// Not known.
        Unknown = 0,
        /// The proxy closed.
        Local = 1,
        /// The peer closed.
        Remote = 2,
    }
}
